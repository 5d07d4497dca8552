// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/copy_own_stack.h"

#include "collectors/safe/own_stack.h"
#include "collectors/safe/unwind_probe.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = kProbePageSize;
constexpr uint64_t kWordMask = 7;
// The interrupted code may keep rbp there: the walker reads it, too.
constexpr uint64_t kRedZone = 128;

// Async-signal-safe. No call of memcpy, and no instrumentation: it is foreign memory.
void CopyBytes(uint8_t* to, uint64_t from, uint64_t size) {
  const auto* source = reinterpret_cast<const uint8_t*>(from);
  asm volatile("rep movsb" : "+D"(to), "+S"(source), "+c"(size) : : "memory");
}

// Async-signal-safe. The thread's own stack as far as it holds frames.
StackBounds FramesOf(uint64_t sp) {
  StackBounds bounds = OwnStack(sp);
  bounds.high = EndOfFrames(bounds);
  return bounds;
}

}  // namespace

// Async-signal-safe.
uint64_t OwnStackBytes(uint64_t sp) {
  const StackBounds bounds = FramesOf(sp);
  if (sp - bounds.low >= bounds.high - bounds.low) return 0;
  return bounds.high - ((sp - kRedZone) & ~kWordMask);
}

// Async-signal-safe.
OwnStackCopy CopyOwnStack(uint64_t sp, uint8_t* to, size_t room) {
  const StackBounds bounds = FramesOf(sp);
  uint64_t from = (sp - kRedZone) & ~kWordMask;
  if (sp - bounds.low >= bounds.high - bounds.low) return {};
  if (from < bounds.low || !PageReadable(from & ~(kPage - 1))) from = (sp + kWordMask) & ~kWordMask;
  const uint64_t low = from;
  uint64_t copied = 0;
  const uint64_t end = bounds.high & ~kWordMask;
  while (from < end && copied < room) {
    uint64_t size = (from | (kPage - 1)) + 1 - from;
    if (size > end - from) size = end - from;
    if (size > room - copied) size = room - copied;
    if (!PageReadable(from & ~(kPage - 1))) break;
    CopyBytes(to + copied, from, size);
    copied += size;
    from += size;
  }
  return {low, copied & ~kWordMask};
}

}  // namespace sonde
