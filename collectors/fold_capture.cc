// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_capture.h"

namespace sonde {

void Capture::OnDelta(const FoldDelta& delta) {
  if (memory_bytes() + FoldCounts::BytesFor(delta) > max_bytes_) {
    counts_.Lose(delta.kind, DropReason::kReaderFull, delta.events, delta.amount);
  } else {
    counts_.Add(delta);
  }
}

void Capture::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  counts_.Lose(kind, reason, events, amount);
}

FoldProfile Capture::Collect() const {
  FoldProfile profile;
  profile.from_ns = opened_ns_;
  profile.to_ns = folded_ns_;
  counts_.AppendTo(&profile);
  return profile;
}

FoldProfile Capture::TakeAll() {
  FoldProfile profile = Collect();
  counts_.Clear();
  opened_ns_ = folded_ns_;
  return profile;
}

}  // namespace sonde
