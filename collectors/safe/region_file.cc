// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/region_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

using PathText = FixedText<512>;

// Malloc-safe: may not allocate or block. Bytes read, at most `size` - 1, NUL-terminated.
uint32_t ReadSmallFile(const char* path, char* bytes, uint32_t size) {
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return 0;
  const long got = sys::Call(SYS_read, fd, bytes, size - 1);
  sys::Call(SYS_close, fd);
  const uint32_t length = got > 0 ? static_cast<uint32_t>(got) : 0;
  bytes[length] = '\0';
  return length;
}

// Malloc-safe: may not allocate or block.
uint64_t ClockNs(int clock) {
  timespec now = {};
  sys::Call(SYS_clock_gettime, clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Malloc-safe: may not allocate or block.
void SetIdentity(RegionHeader* header) {
  header->host_pid = sys::Getpid();
  header->host_start_ticks = StartTicksOf(header->host_pid);
  char boot[sizeof header->boot_id] = {};
  const uint32_t length = ReadSmallFile("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
  for (uint32_t i = 0; i < length && boot[i] != '\n'; ++i) header->boot_id[i] = boot[i];
  utsname names = {};
  sys::Call(SYS_uname, &names);
  for (uint32_t i = 0; i + 1 < sizeof header->host_name && names.nodename[i] != '\0'; ++i) {
    header->host_name[i] = names.nodename[i];
  }
  header->created_monotonic_ns = MonotonicNs();
}

// Malloc-safe: may not allocate or block. Host names may hold what a file name should not.
void AddHostName(PathText* path) {
  utsname names = {};
  sys::Call(SYS_uname, &names);
  for (char* c = names.nodename; *c != '\0'; ++c) {
    if (*c == '/') *c = '_';
  }
  path->Add(names.nodename);
}

// Malloc-safe: may not allocate or block. "DIR/[.]sonde-HOST-PID-START.region[.tmp]"
PathText PathOf(const char* directory, bool temporary) {
  const int pid = sys::Getpid();
  PathText path;
  path.Add(directory).Add(temporary ? "/.sonde-" : "/sonde-");
  AddHostName(&path);
  path.Add("-").Add(static_cast<uint64_t>(pid)).Add("-").Add(StartTicksOf(pid)).Add(".region");
  if (temporary) path.Add(".tmp");
  return path;
}

// Malloc-safe: may not allocate or block.
void Explain(const char* what, const char* path, long result, RegionError* error) {
  error->Clear();
  error->Add("no region file, ").Add(what).Add(" failed with errno ");
  error->Add(static_cast<uint64_t>(-result)).Add(": ").Add(path);
}

// Malloc-safe: may not allocate or block. Null: no memory.
void* Map(uint64_t bytes, long fd, int flags) {
  const long result =
      sys::Call(SYS_mmap, 0L, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);
  return sys::Failed(result) ? nullptr : reinterpret_cast<void*>(result);
}

// Malloc-safe: may not allocate or block. Blocks first, mapping second, name last. Null: `error`
// says why.
void* MapFile(const PathText& temporary, const PathText& path, uint64_t bytes, RegionError* error) {
  const char* name = temporary.c_str();
  const long fd = sys::Call(SYS_openat, AT_FDCWD, name,
                            O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (sys::Failed(fd)) {
    Explain("open", name, fd, error);
    return nullptr;
  }
  const char* step = "fallocate";
  long result = sys::Call(SYS_fallocate, fd, 0, 0, bytes);
  void* mapped = nullptr;
  if (!sys::Failed(result)) {
    step = "mmap";
    mapped = Map(bytes, fd, 0);
    result = mapped == nullptr ? -12 : 0;
  }
  sys::Call(SYS_close, fd);
  if (mapped != nullptr) {
    step = "rename";
    result = sys::Call(SYS_renameat, AT_FDCWD, name, AT_FDCWD, path.c_str());
  }
  if (!sys::Failed(result)) return mapped;
  Explain(step, name, result, error);
  sys::Call(SYS_unlinkat, AT_FDCWD, name, 0);
  if (mapped != nullptr) sys::Call(SYS_munmap, mapped, bytes);
  return nullptr;
}

// Malloc-safe: may not allocate or block.
void* MapInDirectory(const char* directory, uint64_t bytes, RegionOrigin* origin) {
  const PathText temporary = PathOf(directory, true);
  origin->path = PathOf(directory, false);
  if (temporary.full()) {
    origin->error.Add("no region file, its path is longer than 510 bytes");
    return nullptr;
  }
  void* mapped = MapFile(temporary, origin->path, bytes, &origin->error);
  origin->in_file = mapped != nullptr;
  if (mapped == nullptr) origin->path.Clear();
  return mapped;
}

}  // namespace

bool CreateRegion(const RegionOptions& options, Region* region, RegionOrigin* origin) {
  const RegionCounts counts = CountsForBudget(options.budget_bytes);
  const uint64_t bytes = RegionBytes(counts);
  void* mapped = nullptr;
  if (options.directory != nullptr && options.directory[0] != '\0') {
    mapped = MapInDirectory(options.directory, bytes, origin);
  }
  if (mapped == nullptr) mapped = Map(bytes, -1, MAP_ANONYMOUS | MAP_NORESERVE);
  if (mapped == nullptr) {
    origin->error.Clear();
    origin->error.Add("no region: mmap of ").Add(bytes).Add(" bytes failed");
    return false;
  }
  *region = FormatRegion(mapped, counts);
  SetIdentity(region->header);
  RefreshClock(*region);
  return true;
}

void CloseRegion(Region* region) {
  if (region->header == nullptr) return;
  sys::Call(SYS_munmap, region->header, region->header->total_bytes);
  *region = {};
}

void RefreshClock(const Region& region) {
  const uint64_t now_ns = MonotonicNs();
  region.header->utc_offset_ns.Store(ClockNs(CLOCK_REALTIME) - now_ns);
  region.header->alive_ns.Store(now_ns);
}

// The command name may hold anything, brackets and spaces too: count fields from its last bracket.
uint64_t StartTicksOf(int32_t pid) {
  FixedText<40> path;
  path.Add("/proc/").Add(static_cast<uint64_t>(pid)).Add("/stat");
  char stat[512];
  const uint32_t length = ReadSmallFile(path.c_str(), stat, sizeof stat);
  uint32_t at = length;
  while (at > 0 && stat[at - 1] != ')') --at;
  if (at == 0) return 0;
  for (int field = 2; at < length && field < 22; ++at) field += stat[at] == ' ';
  uint64_t ticks = 0;
  for (; at < length && stat[at] >= '0' && stat[at] <= '9'; ++at) {
    ticks = ticks * 10 + static_cast<uint64_t>(stat[at] - '0');
  }
  return ticks;
}

uint64_t MonotonicNs() { return ClockNs(CLOCK_MONOTONIC); }

}  // namespace sonde
