// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/deferred_samples.h"

#include <sys/mman.h>

#include "collectors/safe/copy_own_stack.h"
#include "collectors/safe/sys.h"

namespace sonde {

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
  const OwnStackCopy copy = CopyOwnStack(registers.gpr[kRsp], sample.stack, sizeof(sample.stack));
  const bool copied = copy.bytes != 0;
  sample.low = copy.low;
  sample.stack_bytes = copy.bytes;
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
