// SPDX-License-Identifier: Apache-2.0
#include "profile/perf_map_history.h"

#include <algorithm>
#include <functional>
#include <string_view>

namespace sonde {

// 0: it cannot be read, or is shorter.
uint64_t PerfMapHistory::HashTail(const ByteSource& map, uint64_t bytes) {
  char tail[kTailBytes];
  const size_t size = std::min<uint64_t>(bytes, sizeof tail);
  if (!map.ReadExact(bytes - size, tail, size)) return 0;
  return std::hash<std::string_view>()({tail, size}) | 1;
}

// Whatever its size is now: what was the end of an appended file is still in its place.
bool PerfMapHistory::IsWrittenAnew(const ByteSource& map) const {
  return !sizes_.empty() && HashTail(map, sizes_.back().bytes) != tail_hash_;
}

// An empty one tells nothing, and would be the first look of a map that is about to be written.
void PerfMapHistory::Note(const ByteSource& map, uint64_t now_ns) {
  const uint64_t bytes = map.size();
  if (bytes == 0) return;
  if (IsWrittenAnew(map)) {
    sizes_.clear();
    written_anew_ns_ = now_ns;
  }
  if (!sizes_.empty() && sizes_.back().bytes == bytes) {
    sizes_.back().to_ns = now_ns;
    return;
  }
  if (sizes_.size() >= kMaxSizes) sizes_.erase(sizes_.begin());
  sizes_.push_back({bytes, now_ns, now_ns});
  tail_hash_ = HashTail(map, bytes);
}

void PerfMapHistory::Check(const ByteSource& map, uint64_t now_ns) {
  if (IsWrittenAnew(map)) Note(map, now_ns);
}

PerfMapTime PerfMapHistory::Between(uint64_t from_ns, uint64_t to_ns) const {
  if (sizes_.empty()) return {};
  PerfMapTime time{0, UINT64_MAX};
  for (const Size& size : sizes_) {
    if (size.from_ns <= from_ns) time.from_bytes = size.bytes;
    if (size.to_ns < to_ns) continue;
    time.to_bytes = size.bytes;
    break;
  }
  return time;
}

// The step in which a name changed gets a piece of its own, too: it has both.
std::vector<uint64_t> PerfMapHistory::Cuts(const ByteSource& map,
                                           std::span<const uint64_t> addresses) const {
  std::vector<uint64_t> bounds;
  for (const Size& size : sizes_) bounds.push_back(size.bytes);
  const std::vector<bool> renamed = FindRenamed(map, addresses, bounds);
  std::vector<uint64_t> cuts;
  for (size_t i = 1; i < renamed.size(); ++i) {
    if (!renamed[i]) continue;
    cuts.push_back(sizes_[i - 1].to_ns);
    if (i < sizes_.size()) cuts.push_back(sizes_[i].from_ns);
  }
  return cuts;
}

// The last of those before stays: it tells how much there was when the oldest step began.
void PerfMapHistory::Forget(uint64_t before_ns) {
  const auto past = [before_ns](const Size& size) { return size.from_ns <= before_ns; };
  const auto first = std::ranges::find_if_not(sizes_, past);
  if (first - sizes_.begin() > 1) sizes_.erase(sizes_.begin(), first - 1);
}

}  // namespace sonde
