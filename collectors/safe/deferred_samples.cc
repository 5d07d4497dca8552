// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/deferred_samples.h"

#include <sys/mman.h>

#include "collectors/safe/own_stack.h"
#include "collectors/safe/sys.h"
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

// Async-signal-safe. Fills in the copy of the stack. False: it cannot be had.
bool CopyStack(uint64_t sp, DeferredSample* out) {
  const StackBounds bounds = OwnStack(sp);
  uint64_t from = (sp - kRedZone) & ~kWordMask;
  if (sp - bounds.low >= bounds.high - bounds.low) return false;
  if (from < bounds.low || !PageReadable(from & ~(kPage - 1))) from = (sp + kWordMask) & ~kWordMask;
  out->low = from;
  uint64_t copied = 0;
  const uint64_t end = bounds.high & ~kWordMask;
  while (from < end && copied < sizeof(out->stack)) {
    uint64_t size = (from | (kPage - 1)) + 1 - from;
    if (size > end - from) size = end - from;
    if (size > sizeof(out->stack) - copied) size = sizeof(out->stack) - copied;
    if (!PageReadable(from & ~(kPage - 1))) break;
    CopyBytes(out->stack + copied, from, size);
    copied += size;
    from += size;
  }
  out->stack_bytes = copied & ~kWordMask;
  return out->stack_bytes != 0;
}

}  // namespace

// Async-signal-safe. The number of a slot that is the caller's now; negative: all are taken.
int DeferredSamples::Claim(uint32_t* taken) {
  *taken = 0;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    State state = states_[slot].load(std::memory_order_relaxed);
    // Acquire pairs with Free: the taker has read the slot to its end.
    if (state == State::kFree &&
        states_[slot].compare_exchange_strong(state, State::kWriting, std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
      return static_cast<int>(slot);
    }
    ++*taken;
  }
  return -1;
}

// Async-signal-safe.
bool DeferredSamples::Put(const Registers& registers, uint64_t thread, uint64_t events,
                          uint64_t amount, bool* in_a_hurry) {
  uint32_t taken;
  const int slot = Claim(&taken);
  if (slot < 0) return false;
  DeferredSample& sample = samples_[slot];
  const bool copied = CopyStack(registers.gpr[kRsp], &sample);
  sample.thread = thread;
  sample.events = events;
  sample.amount = amount;
  sample.registers = registers;
  states_[slot].store(copied ? State::kReady : State::kFree, std::memory_order_release);
  if (in_a_hurry != nullptr) *in_a_hurry = taken + 1 >= kHurry;
  return copied;
}

// Cold path only.
bool DeferredSamples::any() const {
  for (const std::atomic<State>& state : states_) {
    if (state.load(std::memory_order_relaxed) != State::kFree) return true;
  }
  return false;
}

// Cold path only. A slot is held as a writer would hold it meanwhile.
void DeferredSamples::ReturnMemory() {
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    State state = State::kFree;
    if (!states_[slot].compare_exchange_strong(state, State::kWriting, std::memory_order_acquire)) {
      continue;
    }
    sys::Call(SYS_madvise, &samples_[slot], sizeof(samples_[slot]), MADV_DONTNEED);
    Free(slot);
  }
}

// Cold path only.
void DeferredSamples::Forget() {
  for (uint32_t slot = 0; slot < kSlots; ++slot) Free(slot);
}

}  // namespace sonde
