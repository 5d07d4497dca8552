// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/rings.h"

#include <stdint.h>

#include <atomic>

#include "collectors/safe/unwind_probe.h"

namespace sonde {
namespace {

constexpr uintptr_t kLookBack = 64;  // bytes of code: the number is loaded right before the call
constexpr uintptr_t kLowest = 1 << 16;

constinit std::atomic<bool> g_has_ring{false};

// Async-signal-safe.
uint32_t WordAt(const volatile uint8_t* at) {
  return at[0] | uint32_t{at[1]} << 8 | uint32_t{at[2]} << 16 | uint32_t{at[3]} << 24;
}

// Async-signal-safe. Whether an instruction within kLookBack bytes before `end` has the number as
// its 32-bit operand. Only on the page of `end`, which runs or is returned to: another thread, a
// JIT compiler's, may unmap the one before between a probe and the read.
bool LoadsNumberBefore(uintptr_t end) {
  const uintptr_t page = end & ~(kProbePageSize - 1);
  const uintptr_t from = end - page < kLookBack ? page : end - kLookBack;
  if (end < kLowest || end - from < sizeof(uint32_t) || !PageReadable(page)) return false;
  for (uintptr_t at = from; at + sizeof(uint32_t) <= end; ++at) {
    if (WordAt(reinterpret_cast<const volatile uint8_t*>(at)) == uint32_t{kRingEnter}) return true;
  }
  return false;
}

}  // namespace

// Async-signal-safe.
void NoteRing() { g_has_ring.store(true, std::memory_order_relaxed); }

// Async-signal-safe.
bool ProcessHasRing() { return g_has_ring.load(std::memory_order_relaxed); }

// Async-signal-safe. The instruction syscall leaves its return address in rcx, and nothing changes
// it: no other interrupted code looks like that but by chance. libc's syscall() has no frame, so
// its return address is on top of the stack.
bool CameOutOfRing(const ucontext_t& context) {
  const auto& registers = context.uc_mcontext.gregs;
  const auto pc = static_cast<uintptr_t>(registers[REG_RIP]);
  if (static_cast<uintptr_t>(registers[REG_RCX]) != pc) return false;
  if (LoadsNumberBefore(pc)) return true;
  const auto sp = static_cast<uintptr_t>(registers[REG_RSP]);
  return WordReadable(sp) && LoadsNumberBefore(*reinterpret_cast<const volatile uintptr_t*>(sp));
}

}  // namespace sonde
