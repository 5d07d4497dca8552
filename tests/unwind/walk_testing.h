// SPDX-License-Identifier: Apache-2.0
// What tests that walk their own stacks share: tables of everything loaded, a handler for the scope
// of a test, and stepping through code one instruction at a time.
#pragma once

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>

#include "collectors/safe/unwind.h"
#include "collectors/unwind_tables.h"

namespace sonde {

inline constexpr uint32_t kMaxTestFrames = 128;

struct TestStack {
  uint64_t frames[kMaxTestFrames];
  WalkResult result;

  [[nodiscard]] bool HasFrameIn(uint64_t begin, uint64_t size) const {
    return std::any_of(frames, frames + result.depth,
                       [&](uint64_t pc) { return pc - 1 >= begin && pc - 1 < begin + size; });
  }
  // The callers of `outer`'s first frame are the last of this one.
  [[nodiscard]] bool EndsInCallersOf(const TestStack& outer) const {
    const uint32_t callers = outer.result.depth - 1;
    return result.depth > callers &&
           std::equal(frames + result.depth - callers, frames + result.depth, outer.frames + 1);
  }
};

inline UnwindPublication g_test_publication;

// Tables of everything that is loaded at the first call.
inline const UnwindTables& TestTables() {
  static auto* const tables = [] {
    auto* made = new UnwindTables(g_test_publication, size_t{64} << 20);
    made->Refresh();
    return made;
  }();
  return *tables;
}

inline void WalkInTest(const Registers& registers, TestStack* out, StackBounds bounds = {}) {
  out->result = WalkStack(g_test_publication, registers, bounds, out->frames, kMaxTestFrames);
}

inline Registers RegistersOfContext(const void* context) {
  Registers registers;
  static_assert(sizeof(registers.gpr) == kGregCount * sizeof(greg_t));
  memcpy(registers.gpr, static_cast<const ucontext_t*>(context)->uc_mcontext.gregs,
         sizeof(registers.gpr));
  return registers;
}

class ScopedHandler {
 public:
  ScopedHandler(int signal, void (*function)(int, siginfo_t*, void*), int flags) : signal_(signal) {
    struct sigaction action = {};
    action.sa_sigaction = function;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(signal, &action, &old_);
  }
  ~ScopedHandler() { sigaction(signal_, &old_, nullptr); }
  ScopedHandler(const ScopedHandler&) = delete;
  ScopedHandler& operator=(const ScopedHandler&) = delete;

 private:
  const int signal_;
  struct sigaction old_;
};

inline void RaiseHere(int signal) {
  syscall(SYS_tgkill, getpid(), static_cast<pid_t>(syscall(SYS_gettid)), signal);
  asm volatile("");  // no tail call: the caller's frame is what the tests look for
}

// The trap flag makes the processor raise SIGTRAP after each instruction. Not from a function with
// data in its red zone: these push.
inline void StartStepping() {
  asm volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
}
inline void StopStepping() {
  asm volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
}

}  // namespace sonde
