// SPDX-License-Identifier: Apache-2.0
#include "profile/perf_map.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>
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

struct Line {
  uint64_t start;
  uint64_t size;
  std::string_view name;
  uint64_t end = 0;  // where in the file the next line begins

  bool Covers(uint64_t address) const { return address >= start && address - start < size; }
};

std::optional<Line> ParseLine(std::string_view text) {
  const auto start = TakeHex(&text);
  const auto size = start ? TakeHex(&text) : std::nullopt;
  if (!size || text.empty()) return std::nullopt;
  return Line{*start, *size, text.substr(0, kMaxPerfMapName)};
}

bool IsReadWhole(const ByteSource& map) { return map.size() <= kMaxPerfMapBytes; }

// Calls take(line) for each whole line that makes sense. A last one without its end is still being
// written.
template <class Take>
void ForEachLine(const ByteSource& map, const Take& take) {
  uint64_t at = IsReadWhole(map) ? 0 : map.size() - kMaxPerfMapBytes;
  bool skip = at > 0;  // the rest of a line whose beginning was not read
  std::string text;
  std::vector<char> block(kBlockBytes);
  for (size_t got; (got = map.ReadAt(at, block.data(), block.size())) > 0; at += got) {
    const uint64_t text_at = at - text.size();
    text.append(block.data(), got);
    size_t used = 0;
    for (size_t end; (end = text.find('\n', used)) != std::string::npos; used = end + 1) {
      auto line = skip ? std::nullopt : ParseLine(std::string_view(text).substr(used, end - used));
      skip = false;
      if (!line) continue;
      line->end = text_at + end + 1;
      take(*line);
    }
    text.erase(0, used);
    if (text.size() <= kBlockBytes) continue;
    text.clear();  // a line that long is none
    skip = true;
  }
}

class Search {
 public:
  Search(std::span<const PerfMapQuery> queries, bool is_whole)
      : queries_(queries), is_whole_(is_whole), names_(queries.size()), several_(queries.size()) {}

  void Take(const Line& line) {
    const auto first = std::ranges::lower_bound(queries_, line.start, {}, &PerfMapQuery::address);
    for (auto at = first; at != queries_.end() && line.Covers(at->address); ++at) {
      if (line.end > at->time.to_bytes) continue;
      const auto i = static_cast<size_t>(at - queries_.begin());
      if (line.end > at->time.from_bytes && HadAnother(names_[i].name, line)) several_[i] = true;
      names_[i] = {line.start, line.size, std::string(line.name)};
    }
  }

  std::vector<PerfMapName> Finish() {
    for (size_t i = 0; i < names_.size(); ++i) {
      if (several_[i]) names_[i] = {};
    }
    return std::move(names_);
  }

 private:
  // What was not read may have named it, too.
  bool HadAnother(std::string_view known, const Line& line) const {
    return known.empty() ? !is_whole_ : known != line.name;
  }

  const std::span<const PerfMapQuery> queries_;
  const bool is_whole_;
  std::vector<PerfMapName> names_;
  std::vector<bool> several_;
};

}  // namespace

std::vector<PerfMapName> LookUpPerfMap(const ByteSource& map,
                                       std::span<const PerfMapQuery> queries) {
  Search search(queries, IsReadWhole(map));
  ForEachLine(map, [&](const Line& line) { search.Take(line); });
  return search.Finish();
}

std::vector<bool> FindRenamed(const ByteSource& map, std::span<const uint64_t> addresses,
                              std::span<const uint64_t> sizes) {
  constexpr size_t kUnknown = 0;  // or a hash in 2^64: then one change is not seen
  const size_t before = IsReadWhole(map) ? kUnknown : 1;  // another than any that is read
  std::vector<size_t> names(addresses.size(), before);
  std::vector<bool> renamed(sizes.size() + 1);
  ForEachLine(map, [&](const Line& line) {
    const auto first = std::ranges::lower_bound(addresses, line.start);
    if (first == addresses.end() || !line.Covers(*first)) return;
    const size_t name = std::hash<std::string_view>()(line.name);
    const auto part = std::ranges::lower_bound(sizes, line.end) - sizes.begin();
    for (auto at = first; at != addresses.end() && line.Covers(*at); ++at) {
      size_t& known = names[static_cast<size_t>(at - addresses.begin())];
      if (known != kUnknown && known != name) renamed[static_cast<size_t>(part)] = true;
      known = name;
    }
  });
  return renamed;
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
