// SPDX-License-Identifier: Apache-2.0
#include "collectors/memory_page_cgroup.h"

#include <fcntl.h>

#include <array>
#include <utility>
#include <vector>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 10;
// Version 1 writes "no limit" as the largest multiple of the page size.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

std::string ReadFile(const std::string& path) {
  std::string text;
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return text;
  std::array<char, 4096> buffer;
  while (text.size() < kMaxFileBytes) {
    const long size = sys::Call(SYS_read, fd, buffer.data(), buffer.size());
    if (sys::Failed(size) || size == 0) break;
    text.append(buffer.data(), static_cast<size_t>(size));
  }
  sys::Call(SYS_close, fd);
  return text;
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    if (digits > 18) return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(text[digits] - '0');
  }
  if (digits == 0) return std::nullopt;
  return value;
}

// The text up to the separator, which is taken off as well.
std::string_view Cut(std::string_view* text, char separator) {
  const size_t end = text->find(separator);
  const std::string_view head = text->substr(0, end);
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return head;
}

bool HasWord(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    if (Cut(&list, ',') == word) return true;
  }
  return false;
}

struct Mount {
  int version = 0;
  std::string_view root;
  std::string_view point;
};

// "31 23 0:28 /root /point rw,… shared:1 - cgroup2 cgroup2 rw,…"
std::optional<Mount> ParseMount(std::string_view line) {
  Mount mount;
  for (int field = 0; field < 3; ++field) Cut(&line, ' ');
  mount.root = Cut(&line, ' ');
  mount.point = Cut(&line, ' ');
  const size_t dash = line.find("- ");
  if (dash == line.npos) return std::nullopt;
  line.remove_prefix(dash + 2);
  const std::string_view type = Cut(&line, ' ');
  Cut(&line, ' ');
  if (type == "cgroup2") mount.version = 2;
  if (type == "cgroup" && HasWord(line, "memory")) mount.version = 1;
  if (mount.version == 0) return std::nullopt;
  return mount;
}

// Of "0::/path" (version 2) or "4:memory:/path".
std::optional<std::string_view> PathOf(std::string_view cgroup, int version) {
  while (!cgroup.empty()) {
    std::string_view line = Cut(&cgroup, '\n');
    const std::string_view number = Cut(&line, ':');
    const std::string_view controllers = Cut(&line, ':');
    if (version == 2 ? number == "0" && controllers.empty() : HasWord(controllers, "memory"))
      return line;
  }
  return std::nullopt;
}

// The part of the path below what is mounted; a path outside of it means the mount itself.
std::string DirectoryOf(const Mount& mount, std::string_view path) {
  std::string directory(mount.point);
  const std::string_view root = mount.root == "/" ? std::string_view() : mount.root;
  if (!path.starts_with(root) || path.find("/..") != path.npos) return directory;
  path.remove_prefix(root.size());
  if (path.size() > 1 && path.front() == '/') directory += path;
  return directory;
}

uint64_t NumberIn(const std::string& path) { return Number(ReadFile(path)).value_or(0); }

void ReadVersion2(const std::string& directory, CgroupMemory* out) {
  out->current = NumberIn(directory + "/memory.current");
  out->limit = NumberIn(directory + "/memory.max");  // "max": none
  ParseMemoryStat(ReadFile(directory + "/memory.stat"), 2, out);
}

void ReadVersion1(const std::string& directory, CgroupMemory* out) {
  out->current = NumberIn(directory + "/memory.usage_in_bytes");
  out->limit = NumberIn(directory + "/memory.limit_in_bytes");
  if (out->limit >= kNoLimit) out->limit = 0;
  ParseMemoryStat(ReadFile(directory + "/memory.stat"), 1, out);
  out->kernel = NumberIn(directory + "/memory.kmem.usage_in_bytes");
}

}  // namespace

std::optional<CgroupPlace> FindMemoryCgroup(std::string_view cgroup, std::string_view mountinfo) {
  std::optional<CgroupPlace> found;
  while (!mountinfo.empty()) {
    const auto mount = ParseMount(Cut(&mountinfo, '\n'));
    if (!mount) continue;
    const auto path = PathOf(cgroup, mount->version);
    if (!path) continue;
    // On a machine with both, the memory controller is where version 1 mounts it.
    if (found && found->version == 1) continue;
    found = CgroupPlace{mount->version, DirectoryOf(*mount, *path)};
  }
  return found;
}

void ParseMemoryStat(std::string_view text, int version, CgroupMemory* out) {
  uint64_t kernel = 0, kernel_parts = 0;
  while (!text.empty()) {
    std::string_view line = Cut(&text, '\n');
    const std::string_view name = Cut(&line, ' ');
    const uint64_t value = Number(line).value_or(0);
    if (name == (version == 2 ? "anon" : "total_rss")) out->anonymous = value;
    if (name == (version == 2 ? "file" : "total_cache")) out->file = value;
    if (name == (version == 2 ? "file_mapped" : "total_mapped_file")) out->file_mapped = value;
    for (const char* list : {"active_file", "inactive_file"}) {
      if (name != (version == 2 ? "" : "total_") + std::string(list)) continue;
      out->file_lists += value;
      out->has_lists = true;
    }
    if (version != 2) continue;
    if (name == "kernel") kernel = value;  // since Linux 5.18 the sum of these and a little more
    if (name == "kernel_stack" || name == "pagetables" || name == "slab" || name == "percpu" ||
        name == "sock")
      kernel_parts += value;
  }
  out->kernel = kernel != 0 ? kernel : kernel_parts;
}

CgroupMemory ReadCgroupMemory() {
  CgroupMemory out;
  const auto place =
      FindMemoryCgroup(ReadFile("/proc/self/cgroup"), ReadFile("/proc/self/mountinfo"));
  if (!place) {
    out.problem = "no mounted cgroup has the memory controller";
    return out;
  }
  if (place->version == 2) {
    ReadVersion2(place->directory, &out);
  } else {
    ReadVersion1(place->directory, &out);
  }
  if (out.current == 0) {
    out.problem = "the root cgroup, or " + place->directory + " cannot be read";
  } else {
    out.version = place->version;
  }
  return out;
}

}  // namespace sonde
