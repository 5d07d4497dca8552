// SPDX-License-Identifier: Apache-2.0
#include "agent/life/region_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/life/small_reads.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/region_layout.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

// An agent says about once a second that it lives.
constexpr int64_t kSilentNs = 30'000'000'000;
constexpr int64_t kHalfMadeNs = 60'000'000'000;  // nobody needs so long to make a file

struct DeadFile {
  std::string name;
  int64_t ended_unix_ns = 0;
};

int64_t UnixNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

std::string BootId() {
  std::string id = ReadSmallFile("/proc/sys/kernel/random/boot_id");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

// When the tree of this region was last alive; nothing: it lives. The header of another version is
// not understood: then the file's own time counts.
std::optional<int64_t> EndOf(const RegionHeader& header, int64_t changed_unix_ns) {
  if (header.magic != kRegionMagic || header.version != kRegionVersion ||
      header.header_bytes != sizeof(RegionHeader)) {
    const bool fresh = UnixNs() - changed_unix_ns < kSilentNs;
    return fresh ? std::nullopt : std::optional(changed_unix_ns);
  }
  const uint64_t alive_ns = header.alive_ns.Load();
  const auto silent_ns = static_cast<int64_t>(MonotonicNs() - alive_ns);
  const bool this_boot = std::string_view(header.boot_id) == BootId();
  if (this_boot && silent_ns < kSilentNs) return std::nullopt;
  return static_cast<int64_t>(alive_ns + header.utc_offset_ns.Load());
}

// Nothing: it is not ours, or its process lives.
std::optional<DeadFile> LookAt(int dir, const std::string& name) {
  const long fd = sys::Call(SYS_openat, dir, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (sys::Failed(fd)) return std::nullopt;
  struct stat found {};
  RegionHeader header{};
  const bool ours = !sys::Failed(sys::Call(SYS_fstat, fd, &found)) && S_ISREG(found.st_mode) &&
                    found.st_uid == static_cast<unsigned>(sys::Call(SYS_geteuid));
  if (ours) sys::Call(SYS_read, fd, &header, sizeof header);
  sys::Call(SYS_close, fd);
  if (!ours) return std::nullopt;
  header.boot_id[sizeof header.boot_id - 1] = 0;
  const int64_t changed = found.st_mtim.tv_sec * int64_t{1'000'000'000} + found.st_mtim.tv_nsec;
  if (name.ends_with(".tmp")) {  // its maker died between open and rename
    if (UnixNs() - changed < kHalfMadeNs) return std::nullopt;
    return DeadFile{name, 0};
  }
  const auto end = EndOf(header, changed);
  if (!end) return std::nullopt;
  return DeadFile{name, *end};
}

bool HasOurName(std::string_view name) {
  return (name.starts_with("sonde-") && name.ends_with(".region")) ||
         (name.starts_with(".sonde-") && name.ends_with(".region.tmp"));
}

}  // namespace

int PruneRegionFiles(const std::string& dir, const KeepRegionFiles& keep) {
  const long opened =
      sys::Call(SYS_openat, AT_FDCWD, dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (sys::Failed(opened)) return 0;
  const int fd = static_cast<int>(opened);
  std::vector<DeadFile> dead;
  for (const std::string& name : ListDirectory(fd)) {
    if (!HasOurName(name)) continue;
    if (auto file = LookAt(fd, name)) dead.push_back(std::move(*file));
  }
  std::ranges::sort(dead, std::greater(), &DeadFile::ended_unix_ns);
  const int64_t oldest_unix_ns = UnixNs() - keep.for_ms * 1'000'000;
  int removed = 0;
  for (size_t i = 0; i < dead.size(); ++i) {
    if (static_cast<int64_t>(i) < keep.files && dead[i].ended_unix_ns >= oldest_unix_ns) continue;
    removed += !sys::Failed(sys::Call(SYS_unlinkat, fd, dead[i].name.c_str(), 0));
  }
  sys::Call(SYS_close, fd);
  return removed;
}

}  // namespace sonde::life
