// SPDX-License-Identifier: Apache-2.0
#include "profile/perf_map.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace sonde {
namespace {

constexpr size_t kBlockBytes = 64 << 10;

std::optional<uint64_t> TakeHex(std::string_view* line) {
  if (line->starts_with("0x")) line->remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), value, 16);
  if (error != std::errc() || end == line->data()) return std::nullopt;
  line->remove_prefix(static_cast<size_t>(end - line->data()));
  if (line->empty() || line->front() != ' ') return std::nullopt;
  line->remove_prefix(1);
  return value;
}

class Search {
 public:
  explicit Search(std::span<const uint64_t> addresses)
      : addresses_(addresses), names_(addresses.size()) {}

  void Line(std::string_view line) {
    const auto start = TakeHex(&line);
    const auto size = start ? TakeHex(&line) : std::nullopt;
    if (!size || line.empty()) return;
    const auto first = std::lower_bound(addresses_.begin(), addresses_.end(), *start);
    for (auto at = first; at != addresses_.end() && *at - *start < *size; ++at)
      names_[static_cast<size_t>(at - addresses_.begin())] = {
          *start, *size, std::string(line.substr(0, kMaxPerfMapName))};
  }

  std::vector<PerfMapName> Take() { return std::move(names_); }

 private:
  const std::span<const uint64_t> addresses_;
  std::vector<PerfMapName> names_;
};

}  // namespace

std::vector<PerfMapName> LookUpPerfMap(const ByteSource& map, std::span<const uint64_t> addresses) {
  Search search(addresses);
  uint64_t at = map.size() > kMaxPerfMapBytes ? map.size() - kMaxPerfMapBytes : 0;
  bool skip = at > 0;  // the rest of a line whose beginning was not read
  std::string text;
  std::vector<char> block(kBlockBytes);
  for (size_t got; (got = map.ReadAt(at, block.data(), block.size())) > 0; at += got) {
    text.append(block.data(), got);
    size_t used = 0;
    for (size_t end; (end = text.find('\n', used)) != std::string::npos; used = end + 1) {
      if (!skip) search.Line(std::string_view(text).substr(used, end - used));
      skip = false;
    }
    text.erase(0, used);
    if (text.size() <= kBlockBytes) continue;
    text.clear();  // a line that long is none
    skip = true;
  }
  return search.Take();  // a last line without its end is still being written
}

Result<std::unique_ptr<ByteSource>> OpenPerfMap(const std::string& path, uint32_t uid) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
  if (fd < 0) return Error{path + ": cannot open"};
  struct stat info = {};
  if (fstat(fd, &info) != 0 || (info.st_uid != uid && info.st_uid != 0)) {
    close(fd);
    return Error{path + ": belongs to another user"};
  }
  return AdoptFile(fd, path);
}

}  // namespace sonde
