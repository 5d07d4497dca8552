// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/scratch.h"

#include <stddef.h>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr int kAddressBits = 47;
constexpr uint64_t kAddressMask = (uint64_t{1} << kAddressBits) - 1;

// Async-signal-safe. Looks like nothing else that lies on stacks.
uint32_t ValueOf(uint64_t claim) {
  return static_cast<uint32_t>(claim * 0x9e3779b97f4a7c15 >> 32) | 1;
}

// Async-signal-safe. False also where nothing is mapped. A requeue of no waiters is the one system
// call that compares a word of memory and does nothing else.
bool WordHolds(uint64_t address, uint32_t value) {
  constexpr int kCmpRequeuePrivate = 4 | 128;
  const long result = sys::Call(SYS_futex, address, kCmpRequeuePrivate, 0, 0, address, value);
  constexpr long kEagain = -11, kEfault = -14;
  return result != kEagain && result != kEfault;  // another error says nothing: it is in use
}

}  // namespace

// Async-signal-safe. Release is the partner of the acquire in TakeBackOne, acquire that of the
// release in Release: the next user sees the buffer as it was left.
bool ScratchPool::TakeFree(Claimer* claimer, uint64_t claim) {
  for (uint32_t i = 0; i < kBuffers; ++i) {
    uint64_t free = 0;
    if (claims_[i].load(std::memory_order_relaxed) != 0) continue;
    claimer->index = i;
    if (claims_[i].compare_exchange_strong(free, claim, std::memory_order_acq_rel,
                                           std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

// Async-signal-safe. Looks at the next claim in turn. Whoever claimed anew meanwhile has another
// sequence number.
void ScratchPool::TakeBackOne() {
  for (uint32_t tries = 0; tries < kBuffers; ++tries) {
    const uint32_t index = look_at_.fetch_add(1, std::memory_order_relaxed) % kBuffers;
    uint64_t claim = claims_[index].load(std::memory_order_acquire);
    if (claim == 0) continue;
    if (WordHolds(claim & kAddressMask, ValueOf(claim))) return;
    if (claims_[index].compare_exchange_strong(claim, 0, std::memory_order_acq_rel,
                                               std::memory_order_relaxed)) {
      taken_back_.fetch_add(1, std::memory_order_relaxed);
    }
    return;
  }
}

// Async-signal-safe. The value lies there before the claim can be seen.
uint64_t* ScratchPool::Claim(Claimer* claimer) {
  const uint64_t sequence = sequence_.fetch_add(1, std::memory_order_relaxed);
  const uint64_t claim = reinterpret_cast<uintptr_t>(&claimer->value) | sequence << kAddressBits;
  claimer->value.store(ValueOf(claim), std::memory_order_relaxed);
  if (!TakeFree(claimer, claim)) {
    TakeBackOne();
    return nullptr;
  }
  if (claimer->index >= kUsual) TakeBackOne();
  return buffers_[claimer->index];
}

}  // namespace sonde
