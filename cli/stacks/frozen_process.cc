// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/frozen_process.h"

#include <errno.h>
#include <sys/user.h>

namespace sonde::cli {
namespace {

// What a call that was cut short has in rax, below the user's sight: the kernel makes it again.
constexpr int64_t kFirstRestart = -516;  // ERESTART_RESTARTBLOCK
constexpr int64_t kLastRestart = -512;   // ERESTARTSYS

bool WasCutShort(const user_regs_struct& user) {
  const auto result = static_cast<int64_t>(user.rax);
  return result == -EINTR || (result >= kFirstRestart && result <= kLastRestart);
}

}  // namespace

Registers RegistersOf(const user_regs_struct& user) {
  return {user.rax, user.rdx, user.rcx, user.rbx, user.rsi, user.rdi, user.rbp, user.rsp, user.r8,
          user.r9,  user.r10, user.r11, user.r12, user.r13, user.r14, user.r15, user.rip};
}

WhereItWaits PlaceOf(const user_regs_struct& user) {
  WhereItWaits where;
  where.sp = user.rsp;
  where.pc = user.rip;
  where.kind = WhereItWaits::Kind::kRunning;
  if (static_cast<int64_t>(user.orig_rax) < 0 || !WasCutShort(user)) return where;
  where.kind = WhereItWaits::Kind::kSystemCall;
  where.number = static_cast<int>(user.orig_rax);
  const uint64_t arguments[] = {user.rdi, user.rsi, user.rdx, user.r10, user.r8, user.r9};
  for (size_t i = 0; i < 6; ++i) where.arguments[i] = arguments[i];
  return where;
}

}  // namespace sonde::cli
