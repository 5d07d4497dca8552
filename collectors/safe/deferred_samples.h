// SPDX-License-Identifier: Apache-2.0
// CPU samples whose walk came to code that has no unwind table yet (unwind_tables_entry.h says why
// there is such code): registers and a copy of the stack, from which the cold side finishes the
// walk and counts the sample. So the first samples in a large library are whole, too.
//
//   handler:   free → writing → ready          cold side: ready → free
//
// Handlers of every process that shares the tables put samples in; the agent thread that builds the
// tables takes them out, about ten times a second while there are any. Lock-free. The stack is only
// copied where it is known to be the thread's own (own_stack.h): what lies behind its end may be
// unmapped by another thread at any moment. When all slots are taken the sample is counted at once,
// with the part of the stack that could be walked.
//
// Part of an UnwindShare, so zero pages are a valid empty pool. Memory: kSlots × 128 KiB of address
// space, of which only the pages that were written count, until the cold side gives them back.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "collectors/safe/unwind_index.h"

namespace sonde {

// Whose it is: the process's place in the UnwindShare (0: the root's, else the child's + 1), which
// names it only together with its pid.
struct DeferredOwner {
  uint32_t place = 0;
  int pid = 0;

  bool operator==(const DeferredOwner&) const = default;
};

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
  bool Put(DeferredOwner owner, const Registers& registers, uint64_t thread, uint64_t events,
           uint64_t amount, bool* in_a_hurry);

  // Cold path only.
  bool any() const;

  // Calls sink(owner, sample) for each that is ready, and frees it if that returns true. Cold path
  // only, one thread.
  template <typename Sink>
  void TakeAll(Sink&& sink) {
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      const uint64_t tag = tags_[slot].load(std::memory_order_acquire);  // pairs with Put
      if (StateOf(tag) != State::kReady) continue;
      if (sink(OwnerOf(tag), samples_[slot])) Free(slot);
    }
  }

  // Frees what writers have left that are gone(owner). Cold path only, the same thread.
  template <typename Gone>
  void FreeAbandoned(Gone&& gone) {
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      const uint64_t tag = tags_[slot].load(std::memory_order_relaxed);
      if (StateOf(tag) == State::kWriting && gone(OwnerOf(tag))) Free(slot);
    }
  }

  // Nobody will take samples out any more: no more are put in. Cold path only.
  void Close() { closed_.store(true, std::memory_order_seq_cst); }

  // Gives the memory of the slots back, those in use excepted. Cold path only.
  void ReturnMemory();

 private:
  enum class State : uint8_t { kFree = 0, kWriting = 1, kReady = 2 };
  static constexpr uint32_t kStateShift = 62;
  static constexpr uint32_t kPlaceShift = 32;

  static constexpr uint64_t Tag(State state, DeferredOwner owner) {
    return static_cast<uint64_t>(state) << kStateShift |
           static_cast<uint64_t>(owner.place) << kPlaceShift | static_cast<uint32_t>(owner.pid);
  }
  static constexpr State StateOf(uint64_t tag) { return static_cast<State>(tag >> kStateShift); }
  static constexpr DeferredOwner OwnerOf(uint64_t tag) {
    return {static_cast<uint32_t>(tag >> kPlaceShift) & 0x3fffffff, static_cast<int>(tag)};
  }
  void Free(uint32_t slot) {
    tags_[slot].store(0, std::memory_order_release);  // pairs with Claim
  }
  int Claim(DeferredOwner owner, uint32_t* taken);

  std::atomic<uint64_t> tags_[kSlots] = {};
  std::atomic<bool> closed_{false};
  alignas(4096) DeferredSample samples_[kSlots] = {};
};

}  // namespace sonde
