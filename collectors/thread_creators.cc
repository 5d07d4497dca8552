// SPDX-License-Identifier: Apache-2.0
#include "collectors/thread_creators.h"

#include <algorithm>

namespace sonde {

void ThreadCreators::SetLive(const std::map<Key, uint64_t>& live) {
  for (auto& [key, creator] : creators_) {
    const auto count = live.find(key);
    creator.live = count != live.end() ? count->second : 0;
  }
}

const ThreadCreator* ThreadCreators::Find(int pid, uint64_t hash) const {
  const auto known = creators_.find({pid, hash});
  return known != creators_.end() ? &known->second : nullptr;
}

void ThreadCreators::MakeRoom() {
  const auto rank = [](const auto& item) {
    return std::pair(item.second.live != 0, item.second.last_ns);
  };
  const auto first =
      std::min_element(creators_.begin(), creators_.end(),
                       [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  lost_[DropReason::kReaderFull] += first->second.made;
  creators_.erase(first);
}

void ThreadCreators::OnDelta(const FoldDelta& delta) {
  if (delta.kind != Kind::kThread) return;
  const Key key{delta.thread.pid, delta.hash};
  made_ += delta.events;
  if (!creators_.contains(key) && creators_.size() >= kMaxStacks) MakeRoom();
  ThreadCreator& creator = creators_[key];
  if (creator.made == 0) creator.frames.assign(delta.frames.begin(), delta.frames.end());
  creator.made += delta.events;
  creator.last_ns = now_ns_;
}

void ThreadCreators::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t) {
  if (kind == Kind::kThread) lost_[reason] += events;
}

}  // namespace sonde
