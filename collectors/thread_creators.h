// SPDX-License-Identifier: Apache-2.0
// The stacks that make threads: how many each made since the collector was switched on, and its
// frames, by which thread_origins.h names them. A sink of the fold; agent thread only. Memory: at
// most kMaxStacks stacks; beyond that, those without a living thread go first, oldest first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "collectors/fold_sink.h"

namespace sonde {

struct ThreadCreator {
  std::vector<uint64_t> frames;  // return addresses, leaf first
  uint64_t made = 0;
  uint64_t live = 0;     // as of the last SetLive
  uint64_t last_ns = 0;  // of the fold that last saw one made
};

class ThreadCreators : public FoldSink {
 public:
  static constexpr size_t kMaxStacks = 1024;
  // A process and the hash of the stack.
  using Key = std::pair<int, uint64_t>;

  // How many threads of each live now.
  void SetLive(const std::map<Key, uint64_t>& live);

  // Null: not known.
  [[nodiscard]] const ThreadCreator* Find(int pid, uint64_t hash) const;
  [[nodiscard]] const std::map<Key, ThreadCreator>& all() const { return creators_; }
  [[nodiscard]] uint64_t made() const { return made_; }
  // Threads whose making could not be counted, by reason.
  [[nodiscard]] const std::map<DropReason, uint64_t>& lost() const { return lost_; }

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t now_ns) override { now_ns_ = now_ns; }

 private:
  void MakeRoom();

  std::map<Key, ThreadCreator> creators_;
  std::map<DropReason, uint64_t> lost_;
  uint64_t made_ = 0;
  uint64_t now_ns_ = 0;
};

}  // namespace sonde
