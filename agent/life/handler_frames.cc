// SPDX-License-Identifier: Apache-2.0
#include "agent/life/handler_frames.h"

#include <signal.h>
#include <sys/uio.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>

#include "agent/life/host_signal.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr uintptr_t kReach = uintptr_t{1} << 20;  // of stack that a handler may have used
constexpr size_t kBlockBytes = 4096;
constexpr int kSignals = 64;
constexpr size_t kMostRestorers = 8;  // one for each C library in the process

// Where handlers return to: the first word of each signal frame.
struct Restorers {
  uint64_t at[kMostRestorers];
  size_t count = 0;

  [[nodiscard]] bool Have(uint64_t word) const {
    for (size_t i = 0; i < count; ++i) {
      if (at[i] == word) return true;
    }
    return false;
  }
};

// Also those of handlers that were reset while they run. False: more than there is room for.
bool FindRestorers(Restorers* out) {
  for (int signal = 1; signal <= kSignals; ++signal) {
    KernelSigaction action{};
    if (sys::Failed(sys::Call(SYS_rt_sigaction, signal, 0L, &action, 8L))) continue;
    const auto restorer = reinterpret_cast<uint64_t>(action.restorer);
    if (restorer == 0 || IsOurRestorer(action.restorer) || out->Have(restorer)) continue;
    if (out->count == kMostRestorers) return false;
    out->at[out->count++] = restorer;
  }
  return true;
}

// Nothing is read by ourselves: where the stack ends is not known, and what lies behind it may be
// unmapped at any time.
size_t ReadOwn(uintptr_t from, void* to, size_t bytes) {
  const iovec local{to, bytes};
  const iovec remote{reinterpret_cast<void*>(from), bytes};
  const long got = sys::Call(SYS_process_vm_readv, sys::Getpid(), &local, 1L, &remote, 1L, 0L);
  return sys::Failed(got) ? 0 : static_cast<size_t>(got);
}

// A word with the value of a restorer may be just that; a frame has the kernel's form, too.
bool IsFrame(uintptr_t at) {
  struct Frame {
    uint64_t restorer;
    uint64_t flags;
    uint64_t link;
    uint64_t stack[3];
    uint64_t registers[NGREG];
  };
  static_assert(offsetof(ucontext_t, uc_mcontext) == offsetof(Frame, registers) - sizeof(uint64_t));
  constexpr uint64_t kKnownFlags = 15;
  constexpr uint64_t kUserCode = 0x33;  // the code segment of 64-bit programs
  Frame frame{};
  if (at % 16 != 8 || ReadOwn(at, &frame, sizeof frame) != sizeof frame) return false;
  return frame.flags <= kKnownFlags && frame.link == 0 &&
         (frame.registers[REG_CSGSFS] & 0xffff) == kUserCode;
}

bool FrameAbove(uintptr_t low, const Restorers& restorers) {
  static constinit uint64_t block[kBlockBytes / sizeof(uint64_t)];
  uintptr_t at = low & ~uintptr_t{7};
  while (at - low < kReach) {
    const size_t to_page = kBlockBytes - at % kBlockBytes;
    const size_t words = ReadOwn(at, block, to_page) / sizeof(uint64_t);
    for (size_t i = 0; i < words; ++i) {
      if (restorers.Have(block[i]) && IsFrame(at + i * sizeof(uint64_t))) return true;
    }
    if (words * sizeof(uint64_t) < to_page) return false;  // the stack's end
    at += to_page;
  }
  return false;
}

bool OnAlternateStack() {
  stack_t now{};
  return !sys::Failed(sys::Call(SYS_sigaltstack, 0L, &now)) && (now.ss_flags & SS_ONSTACK) != 0;
}

}  // namespace

bool MayBeInHandler() {
  if (OnAlternateStack()) return true;
  Restorers restorers{};
  if (!FindRestorers(&restorers)) return true;
  return restorers.count != 0 &&
         FrameAbove(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)), restorers);
}

}  // namespace sonde::life
