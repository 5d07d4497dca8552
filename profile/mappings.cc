// SPDX-License-Identifier: Apache-2.0
#include "profile/mappings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "profile/elf_file.h"
#include "profile/hex.h"

namespace sonde {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kMaxLineBytes = 2 * PATH_MAX;
constexpr std::string_view kDeleted = " (deleted)";

// One line of the file, e.g. "7f00-7f80 r-xp 00001000 fe:00 1234    /usr/lib/libc.so.6".
struct Line {
  Mapping mapping;
  bool readable = false;
  bool executable = false;
};

std::string_view TakeField(std::string_view* rest, char end) {
  const size_t at = rest->find(end);
  const std::string_view field = rest->substr(0, at);
  rest->remove_prefix(at == std::string_view::npos ? rest->size() : at + 1);
  return field;
}

// The kernel writes a newline in a name as \012, and escapes nothing else.
std::string UnescapePath(std::string_view text) {
  std::string path;
  path.reserve(text.size());
  while (!text.empty()) {
    const bool newline = text.substr(0, 4) == "\\012";
    path.push_back(newline ? '\n' : text[0]);
    text.remove_prefix(newline ? 4 : 1);
  }
  return path;
}

void SetPath(std::string_view text, Mapping* mapping) {
  if (text.size() > kDeleted.size() && text.substr(text.size() - kDeleted.size()) == kDeleted) {
    text.remove_suffix(kDeleted.size());
    mapping->deleted = true;
  }
  mapping->path = text.empty() ? "//anon" : UnescapePath(text);
}

std::optional<Line> ParseLine(std::string_view text) {
  Line line;
  const auto start = ParseHex(TakeField(&text, '-'));
  const auto limit = ParseHex(TakeField(&text, ' '));
  const std::string_view rights = TakeField(&text, ' ');
  const auto offset = ParseHex(TakeField(&text, ' '));
  const std::string_view device = TakeField(&text, ' ');
  const std::string_view inode = TakeField(&text, ' ');
  if (!start || !limit || *start >= *limit || rights.size() < 4 || !offset) return std::nullopt;
  const char* end = inode.data() + inode.size();
  if (std::from_chars(inode.data(), end, line.mapping.inode).ptr != end) return std::nullopt;
  line.mapping.start = *start;
  line.mapping.limit = *limit;
  line.mapping.offset = *offset;
  line.mapping.device = device;
  line.readable = rights[0] == 'r';
  line.executable = rights[2] == 'x';
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  SetPath(text, &line.mapping);
  return line;
}

bool SameFile(const Mapping& a, const Mapping& b) {
  return a.inode == b.inode && a.device == b.device && a.path == b.path;
}

bool Continues(const Mapping& next, const Mapping& last) {
  if (next.start != last.limit || !SameFile(next, last)) return false;
  return !last.IsFile() || next.offset == last.offset + (last.limit - last.start);
}

// Takes the lines in the order of the file, which is that of the addresses.
class MapsParser {
 public:
  void Add(std::string_view text) {
    if (text.empty()) return;
    auto line = ParseLine(text);
    if (!line) {
      ++table_.dropped;
      return;
    }
    Mapping& mapping = line->mapping;
    if (mapping.offset == 0 && line->readable && mapping.path != "//anon") image_ = mapping;
    if (!line->executable) return;
    if (SameFile(image_, mapping)) {
      mapping.image_start = image_.start;
      mapping.image_limit = image_.limit;
    }
    Append(std::move(mapping));
  }

  MappingTable Take() { return std::move(table_); }

 private:
  void Append(Mapping mapping) {
    auto& all = table_.mappings;
    if (!all.empty() && Continues(mapping, all.back())) {
      all.back().limit = mapping.limit;
    } else if (all.size() < kMaxMappings) {
      all.push_back(std::move(mapping));
    } else {
      ++table_.dropped;
    }
  }

  MappingTable table_;
  Mapping image_;  // the last piece with offset 0
};

// Feeds the complete lines of `text`; returns the bytes used.
size_t FeedLines(std::string_view text, MapsParser* parser) {
  size_t used = 0;
  for (size_t end; (end = text.find('\n', used)) != std::string_view::npos; used = end + 1) {
    parser->Add(text.substr(used, end - used));
  }
  return used;
}

Result<MappingTable> ReadMapsFd(int fd) {
  MapsParser parser;
  std::string buffer;
  for (;;) {
    const size_t kept = buffer.size();
    if (kept > kMaxLineBytes) return Error{"maps: a line of more than 8,192 bytes"};
    buffer.resize(kept + kReadBytes);
    const ssize_t n = read(fd, buffer.data() + kept, kReadBytes);
    if (n < 0 && errno != EINTR) return Error{"maps: cannot read: errno " + std::to_string(errno)};
    buffer.resize(kept + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) break;
    buffer.erase(0, FeedLines(buffer, &parser));
  }
  parser.Add(buffer);
  return parser.Take();
}

// Closes a descriptor at the end of its scope, also when memory runs out half-way.
class FdCloser {
 public:
  explicit FdCloser(int fd) : fd_(fd) {}
  ~FdCloser() { close(fd_); }
  FdCloser(const FdCloser&) = delete;
  FdCloser& operator=(const FdCloser&) = delete;

 private:
  int fd_;
};

std::string ReadExePath(int proc_dir_fd) {
  char path[PATH_MAX];
  const ssize_t n = readlinkat(proc_dir_fd, "exe", path, sizeof path);
  std::string_view text(path, n > 0 ? static_cast<size_t>(n) : 0);
  if (text.size() > kDeleted.size() && text.substr(text.size() - kDeleted.size()) == kDeleted) {
    text.remove_suffix(kDeleted.size());
  }
  return std::string(text);
}

std::string BuildIdOf(const Mapping& mapping, const MemoryReader& reader) {
  if (reader && mapping.image_start != 0) {
    const std::string id = ReadBuildIdFromMemory(reader, mapping.image_start, mapping.image_limit);
    if (!id.empty()) return id;
  }
  if (!mapping.IsFile() || mapping.deleted) return "";
  auto source = OpenFile(mapping.path);
  if (!source) return "";
  auto elf = ElfFile::Open(std::move(*source));
  return elf ? (*elf)->build_id() : "";
}

}  // namespace

MappingTable ParseMaps(std::string_view text) {
  MapsParser parser;
  const size_t used = FeedLines(text, &parser);
  parser.Add(text.substr(used));
  return parser.Take();
}

Result<MappingTable> ReadMaps(int proc_dir_fd) {
  const int fd = openat(proc_dir_fd, "maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error{"maps: cannot open: errno " + std::to_string(errno)};
  const FdCloser closer(fd);
  auto table = ReadMapsFd(fd);
  if (table) MoveMainFirst(ReadExePath(proc_dir_fd), &table->mappings);
  return table;
}

Result<MappingTable> ReadMapsOfPid(int pid) {
  const std::string path = "/proc/" + std::to_string(pid);
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error{path + ": cannot open: errno " + std::to_string(errno)};
  const FdCloser closer(fd);
  return ReadMaps(fd);
}

bool Mapping::IsGenerated() const {
  const std::string_view name = path;
  return name == "//anon" || name.starts_with("[anon:") || name.starts_with("/memfd:") ||
         name.starts_with("/dev/zero") || name.starts_with("[anon_shmem:");
}

void SetOwner(int pid, std::vector<Mapping>* mappings) {
  for (Mapping& mapping : *mappings)
    if (mapping.IsGenerated() || mapping.deleted) mapping.pid = pid;
}

bool MoveMainFirst(uint64_t address, std::vector<Mapping>* mappings) {
  const auto main = std::find_if(mappings->begin(), mappings->end(), [&](const Mapping& m) {
    return m.Contains(address) || (address >= m.image_start && address < m.image_limit);
  });
  if (main == mappings->end()) return false;
  std::rotate(mappings->begin(), main, main + 1);
  return true;
}

void MoveMainFirst(std::string_view path, std::vector<Mapping>* mappings) {
  const auto main = std::find_if(mappings->begin(), mappings->end(),
                                 [&](const Mapping& m) { return m.path == path; });
  if (main != mappings->end()) std::rotate(mappings->begin(), main, main + 1);
}

void AddBuildIds(const MemoryReader& reader, std::vector<Mapping>* mappings) {
  std::map<std::pair<std::string, uint64_t>, std::string>
      known;  // one look a file, not one a piece
  for (Mapping& mapping : *mappings) {
    if (!mapping.build_id.empty() || mapping.path == "//anon") continue;
    const auto [entry, fresh] = known.try_emplace({mapping.path, mapping.image_start});
    if (fresh) entry->second = BuildIdOf(mapping, reader);
    mapping.build_id = entry->second;
  }
}

}  // namespace sonde
