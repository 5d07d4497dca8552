// SPDX-License-Identifier: Apache-2.0
#include "collectors/unsampled.h"

#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_record.h"

namespace sonde {

void Unsampled::Note(uint64_t used_ns, int64_t owed_ns, uint64_t period_ns, uint64_t now_ns) {
  const auto lost_ns = static_cast<int64_t>(used_ns - CountedCpuNs()) - owed_ns;
  if (!started_) {
    started_ = true;
    shown_ns_ = lost_ns;
  }
  const auto slack_ns = static_cast<int64_t>(kSlackPeriods * period_ns);
  if (period_ns == 0 || lost_ns - shown_ns_ < slack_ns) return;
  // Half of the slack stays, so that what comes late does not turn out to be shown twice.
  const uint64_t periods = static_cast<uint64_t>(lost_ns - shown_ns_ - slack_ns / 2) / period_ns;
  shown_ns_ += static_cast<int64_t>(periods * period_ns);
  Show(periods, period_ns, now_ns);
}

// It belongs to no thread that still lives, so to one with the tid that no thread has.
void Unsampled::Show(uint64_t periods, uint64_t period_ns, uint64_t now_ns) {
  if (!nobody_.valid) {
    nobody_ = ClaimThread(region_, process_, 0, now_ns);
    if (nobody_.valid) SetThreadName(region_, nobody_, "(several)");
  }
  const auto frame = static_cast<uint64_t>(SyntheticFrame::kNotSampled);
  const StackContent stack{&frame, 1, StackFlags(StackEnd::kRoot)};
  RecordStack(region_, stack, nobody_, Kind::kCpu, periods, periods * period_ns);
}

}  // namespace sonde
