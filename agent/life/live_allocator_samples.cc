// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_allocator_samples.h"

#include <algorithm>
#include <string>
#include <utility>

#include "agent/life/fork_hold.h"
#include "agent/life/self.h"
#include "collectors/safe/region_file.h"

namespace sonde::life {
namespace {

HeapSample ToSample(const AllocatorStack& from) {
  HeapSample to;
  to.frames = SharedFrames(from.frames);
  to.pid = g_self.pid;
  to.alloc_objects = from.alloc_objects;
  to.alloc_bytes = from.alloc_bytes;
  to.inuse_objects = from.inuse_objects;
  to.inuse_bytes = from.inuse_bytes;
  return to;
}

std::string NoteOn(const DetectedAllocator& allocator, const AllocatorSamples& samples) {
  const std::string whose =
      std::string(AllocatorKindName(allocator.kind)) + " in " + allocator.object;
  const std::string stacks = std::to_string(samples.stacks.size());
  if (samples.stacks.empty() && !samples.problem.empty())
    return whose + " samples by itself, but " + samples.problem;
  return stacks + " stacks are the own samples of " + whose + ", one in " +
         std::to_string(samples.interval_bytes) +
         " bytes on average, since it began; ages are unknown, and what it has mapped is among "
         "[mmap]" +
         (samples.problem.empty() ? "" : "; " + samples.problem);
}

}  // namespace

// What it took to ask is what others may have waited for: without the wait for forks.
const AllocatorSamples& LiveAllocatorSamples::Of(const DetectedAllocator& allocator) {
  if (read_ns_ != 0 && MonotonicNs() - read_ns_ < took_ns_ * kRestShare) return last_;
  const ForkHold hold;
  const uint64_t begin_ns = MonotonicNs();
  last_ = hold.held() ? ReadAllocatorSamples(memory_, allocator) : AllocatorSamples();
  if (!hold.held()) last_.problem = "the service forks all the time: ask again";
  read_ns_ = MonotonicNs();
  took_ns_ = read_ns_ - begin_ns;
  return last_;
}

// One allocator of the process at most: two that both sample unseen are not to be expected.
void LiveAllocatorSamples::AddTo(const DetectedAllocators& detected, HeapSnapshot* out) {
  for (const DetectedAllocator& one : detected.all) {
    if (!LookAtSampling(memory_, one, detected.hooks_bypassed).on) continue;
    const AllocatorSamples& samples = Of(one);
    for (const AllocatorStack& stack : samples.stacks) out->samples.push_back(ToSample(stack));
    // Readers reckon their error bars by it: by the wider of the two.
    out->interval_bytes = std::max(out->interval_bytes, samples.interval_bytes);
    out->notes.push_back(NoteOn(one, samples));
    return;
  }
}

}  // namespace sonde::life
