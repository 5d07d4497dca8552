// SPDX-License-Identifier: Apache-2.0
#include "recording/renamed_code.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <utility>

namespace sonde {
namespace {

using Ranges = std::map<uint64_t, uint64_t>;  // start → limit

bool Contain(const Ranges& ranges, uint64_t address) {
  const auto above = ranges.upper_bound(address);
  return above != ranges.begin() && address < std::prev(above)->second;
}

// Of those processes whose perf map was looked at while they were recorded.
class GeneratedAddresses {
 public:
  explicit GeneratedAddresses(const AddressHistory& history) : history_(history) {}

  void AddPiece(const FoldProfile& piece) {
    std::map<int, Ranges> code;
    for (const FoldSample& sample : piece.samples) {
      if (sample.kind != Kind::kCpu || !HasPerfMap(sample.thread.pid)) continue;
      const auto [known, fresh] = code.try_emplace(sample.thread.pid);
      if (fresh) known->second = CodeOf(sample.thread.pid, piece);
      if (!known->second.empty()) AddFrames(sample, known->second);
    }
  }

  // Sorted.
  [[nodiscard]] const std::map<int, std::set<uint64_t>>& by_pid() const { return by_pid_; }

 private:
  bool HasPerfMap(int pid) const {
    const PerfMapHistory* const map = history_.PerfMapOf(pid);
    return map != nullptr && !map->empty();
  }

  Ranges CodeOf(int pid, const FoldProfile& piece) const {
    Ranges code;
    for (const Mapping& mapping : history_.At(pid, piece.from_ns, piece.to_ns)) {
      if (mapping.IsGenerated()) code.emplace(mapping.start, mapping.limit);
    }
    return code;
  }

  // All but the first are return addresses, and are looked up before.
  void AddFrames(const FoldSample& sample, const Ranges& code) {
    for (size_t i = 0; i < sample.frames.size(); ++i) {
      const uint64_t address = sample.frames[i] - (i != 0 ? 1 : 0);
      if (Contain(code, address)) by_pid_[sample.thread.pid].insert(address);
    }
  }

  const AddressHistory& history_;
  std::map<int, std::set<uint64_t>> by_pid_;
};

}  // namespace

std::vector<uint64_t> CutsOfRenamedCode(const Past& past, const AddressHistory& history,
                                        const PerfMapOpener& open) {
  GeneratedAddresses generated(history);
  for (const FoldProfile& piece : past.pieces) generated.AddPiece(piece);
  std::vector<uint64_t> cuts;
  for (const auto& [pid, known] : generated.by_pid()) {
    const auto map = open(pid);
    if (!map) continue;
    const std::vector<uint64_t> addresses(known.begin(), known.end());
    const std::vector<uint64_t> more = history.PerfMapOf(pid)->Cuts(**map, addresses);
    cuts.insert(cuts.end(), more.begin(), more.end());
  }
  std::ranges::sort(cuts);
  return cuts;
}

}  // namespace sonde
