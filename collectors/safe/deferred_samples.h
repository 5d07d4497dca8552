// SPDX-License-Identifier: Apache-2.0
// CPU samples whose walk came to code that has no unwind table yet (unwind_tables_entry.h says why
// there is such code): registers and a copy of the stack, from which the cold side finishes the
// walk and counts the sample. So the first samples in a large library are whole, too.
//
//   handler:   free → writing → ready          cold side: ready → free
//
// Copies of stacks hold what the host keeps on them, keys and passwords included. So the pool is
// private to the process that builds the tables: its forked children, which may be there to be
// trusted less, neither see what is copied after the fork nor can they write what the agent reads.
// Children do not defer samples.
//
// Handlers put samples in; the agent thread takes them out, about ten times a second while there
// are any. Lock-free. The stack is only copied where it is known to be the thread's own
// (own_stack.h): what lies behind its end may be unmapped by another thread at any moment. When all
// slots are taken the sample is counted at once, with the part of the stack that could be walked.
//
// Zero pages are a valid empty pool. Memory: kSlots × 128 KiB of address space, of which only the
// pages that were written count, until the cold side gives them back.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "collectors/safe/unwind_index.h"

namespace sonde {

struct DeferredSample {
  static constexpr size_t kBytes = 128 << 10;

  uint64_t thread = 0;  // PackThread
  uint64_t events = 0;
  uint64_t amount = 0;
  Registers registers{};
  uint64_t low = 0;          // the address of stack[0]
  uint64_t stack_bytes = 0;  // of `stack`, those that were copied; a multiple of 8
  uint8_t stack[kBytes - 5 * sizeof(uint64_t) - sizeof(Registers)];
};
static_assert(sizeof(DeferredSample) == DeferredSample::kBytes);

class DeferredSamples {
 public:
  static constexpr uint32_t kSlots = 32;
  // With so many waiting, the cold side had better come soon.
  static constexpr uint32_t kHurry = kSlots / 2;

  constexpr DeferredSamples() = default;
  DeferredSamples(const DeferredSamples&) = delete;
  DeferredSamples& operator=(const DeferredSamples&) = delete;

  // Async-signal-safe. Copies registers and stack of the calling thread, which was interrupted with
  // these registers, and leaves them with the sample for the cold side. False: there is no room, or
  // the stack is not known. `in_a_hurry` (may be null): whether kHurry slots are taken.
  bool Put(const Registers& registers, uint64_t thread, uint64_t events, uint64_t amount,
           bool* in_a_hurry);

  // Cold path only.
  bool any() const;

  // Calls sink(sample) for each that is ready, and frees it if that returns true. Cold path only,
  // one thread.
  template <typename Sink>
  void TakeAll(Sink&& sink) {
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      // Acquire pairs with Put.
      if (states_[slot].load(std::memory_order_acquire) != State::kReady) continue;
      if (sink(samples_[slot])) Free(slot);
    }
  }

  // Gives the memory of the slots back, those in use excepted. Cold path only.
  void ReturnMemory();

  // In a forked child, in its only thread: what it has of the parent's pool is not its own.
  void Forget();

 private:
  enum class State : uint32_t { kFree = 0, kWriting = 1, kReady = 2 };

  void Free(uint32_t slot) {
    states_[slot].store(State::kFree, std::memory_order_release);  // pairs with Claim
  }
  int Claim(uint32_t* taken);

  std::atomic<State> states_[kSlots] = {};
  alignas(4096) DeferredSample samples_[kSlots] = {};
};

}  // namespace sonde
