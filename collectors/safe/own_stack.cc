// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/own_stack.h"

#include <atomic>

#include "collectors/safe/unwind_probe.h"

namespace sonde {
namespace {

// The kernel maps nothing of its own choice so near below the end of the main thread's stack.
constexpr uint64_t kMainStackReach = uint64_t{64} << 20;
constexpr uint64_t kLargestStack = uint64_t{16} << 30;

constinit std::atomic<uint64_t> g_main_high{0};
constinit std::atomic<uint64_t> g_main_frames{0};
constinit std::atomic<uint32_t> g_block_offset{0};

// Async-signal-safe. Any value, also 0, for a thread that libc knows nothing of.
uint64_t ThreadPointer() {
  uint64_t pointer;
  asm volatile("rdfsbase %0" : "=r"(pointer));
  return pointer;
}

// Async-signal-safe.
bool ReadChecked(uint64_t address, uint64_t* value) {
  if (address % sizeof(*value) != 0 || !WordReadable(address)) return false;
  *value = *reinterpret_cast<const uint64_t*>(address);
  return true;
}

// Async-signal-safe. A thread that raw clone made may have its creator's descriptor: then `sp` is
// not in that stack.
StackBounds PthreadStack(uint64_t sp, uint32_t block_offset) {
  const uint64_t descriptor = ThreadPointer();
  uint64_t block, size;
  if (sp >= descriptor || !ReadChecked(descriptor + block_offset, &block) ||
      !ReadChecked(descriptor + block_offset + sizeof(block), &size)) {
    return {};
  }
  const bool holds = block <= sp && size <= kLargestStack && descriptor - block < size;
  return holds ? StackBounds{block, descriptor} : StackBounds{};
}

// Async-signal-safe.
StackBounds MainStack(uint64_t sp) {
  const uint64_t main_high = g_main_high.load(std::memory_order_relaxed);
  const bool holds = sp < main_high && main_high - sp < kMainStackReach;
  return holds ? StackBounds{main_high - kMainStackReach, main_high} : StackBounds{};
}

}  // namespace

// Cold path only.
void SetStackLayout(const StackLayout& layout) {
  g_main_high.store(layout.main_high, std::memory_order_relaxed);
  g_main_frames.store(layout.main_frames, std::memory_order_relaxed);
  g_block_offset.store(layout.block_offset, std::memory_order_relaxed);
}

// Async-signal-safe.
StackBounds OwnStack(uint64_t sp) {
  const StackBounds main = MainStack(sp);
  if (main.high != 0) return main;
  const uint32_t block_offset = g_block_offset.load(std::memory_order_relaxed);
  return block_offset != 0 ? PthreadStack(sp, block_offset) : StackBounds{};
}

// Async-signal-safe.
uint64_t EndOfFrames(const StackBounds& own) {
  const uint64_t frames = g_main_frames.load(std::memory_order_relaxed);
  return frames > own.low && frames < own.high ? frames : own.high;
}

// Async-signal-safe.
StackBounds BoundsForWalk(uint64_t sp) {
  StackBounds bounds = MainStack(sp);
  if (bounds.high == 0 && g_block_offset.load(std::memory_order_relaxed) != 0) {
    bounds.probable_end = ThreadPointer();
  }
  return bounds;
}

}  // namespace sonde
