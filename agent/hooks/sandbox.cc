// SPDX-License-Identifier: Apache-2.0
// Ports, name spaces and seccomp: where the host must find the process as if we were not there.
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include "agent/hooks/hook.h"
#include "agent/life/host_signal.h"
#include "agent/life/yield.h"

extern "C" int capset(cap_user_header_t header,
                      const cap_user_data_t data);  // no header of libc has it

namespace {

SONDE_REAL(bind);
SONDE_REAL(capset);
SONDE_REAL(unshare);
SONDE_REAL(setns);

int PortOf(const struct sockaddr* address, socklen_t size) {
  if (address == nullptr) return 0;
  if (address->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
  }
  if (address->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(address)->sin6_port);
  }
  return 0;
}

}  // namespace

SONDE_EXPORT int bind(int fd, const struct sockaddr* address, socklen_t size) noexcept {
  const int port = sonde::life::g_our_port.load(std::memory_order_relaxed);
  if (port != 0 && PortOf(address, size) == port) [[unlikely]] {
    sonde::life::YieldPort();
  }
  return real_bind.get()(fd, address, size);
}

SONDE_EXPORT int unshare(int flags) noexcept {
  const bool paused = sonde::life::PauseThread();
  const int result = real_unshare.get()(flags);
  if (paused) sonde::life::ResumeThread();
  return result;
}

SONDE_EXPORT int setns(int fd, int kind) noexcept {
  const bool paused = sonde::life::PauseThread();
  const int result = real_setns.get()(fd, kind);
  if (paused) sonde::life::ResumeThread();
  return result;
}

// Capabilities, secure bits and no_new_privs are a thread's own; libc does not carry them to the
// others. A new agent thread gets them from the thread that made it, so it is ended before such a
// call and made anew after it.
SONDE_EXPORT int capset(cap_user_header_t header, const cap_user_data_t data) {
  const bool paused = sonde::life::PauseThread();
  const int result = real_capset.get()(header, data);
  if (paused) sonde::life::ResumeThread();
  return result;
}

// prctl and syscall take any number of arguments and may return twice (vfork), so the hooks are
// jumps: the arguments stay where they are. Only calls that install a seccomp filter or a signal
// handler stop on the way.
extern "C" {
__attribute__((visibility("hidden"), used)) constinit void* sonde_real_prctl = nullptr;
__attribute__((visibility("hidden"), used)) constinit void* sonde_real_syscall = nullptr;

__attribute__((visibility("hidden"), used)) void SondeFindJumps() {
  sonde_real_prctl = sonde::hooks::FindNext(sonde::hooks::kHook_prctl);
  sonde_real_syscall = sonde::hooks::FindNext(sonde::hooks::kHook_syscall);
}

// prctl(PR_CAPBSET_DROP, …) and the like: an ordinary call, as none of these returns twice.
__attribute__((visibility("hidden"), used)) long SondePausedPrctl(long option, long a, long b,
                                                                  long c, long d) {
  const bool paused = sonde::life::PauseThread();
  const sonde::hooks::Real<int(int, ...)> real(sonde::hooks::kHook_prctl);
  const int result = real.get()(static_cast<int>(option), a, b, c, d);
  if (paused) sonde::life::ResumeThread();
  return result;
}

__attribute__((visibility("hidden"), used)) long SondePausedSyscall(long number, long a, long b,
                                                                    long c, long d, long e) {
  const bool paused = sonde::life::PauseThread();
  const sonde::hooks::Real<long(long, ...)> real(sonde::hooks::kHook_syscall);
  const long result = real.get()(number, a, b, c, d, e);
  if (paused) sonde::life::ResumeThread();
  return result;
}

__attribute__((visibility("hidden"), used)) void SondeBeforeSeccomp() {
  SondeFindJumps();
  sonde::hooks::FindAllNext();
  sonde::life::GoDormant(sonde::life::DormantReason::kSeccomp);
}

// syscall(SYS_rt_sigaction, signal, action, …)
__attribute__((visibility("hidden"), used)) void SondeBeforeSigaction(long, long signal,
                                                                      const void* action) {
  const int ours = sonde::life::g_our_signal.load(std::memory_order_relaxed);
  if (action != nullptr && ours != 0 && signal == ours) sonde::life::VacateSignal(ours);
}
}

asm(R"(
.macro SONDE_CALL_KEEPING_ARGUMENTS function
  push %rdi
  .cfi_adjust_cfa_offset 8
  push %rsi
  .cfi_adjust_cfa_offset 8
  push %rdx
  .cfi_adjust_cfa_offset 8
  push %rcx
  .cfi_adjust_cfa_offset 8
  push %r8
  .cfi_adjust_cfa_offset 8
  push %r9
  .cfi_adjust_cfa_offset 8
  push %rax
  .cfi_adjust_cfa_offset 8
  call \function
  add $8, %rsp
  .cfi_adjust_cfa_offset -8
  pop %r9
  .cfi_adjust_cfa_offset -8
  pop %r8
  .cfi_adjust_cfa_offset -8
  pop %rcx
  .cfi_adjust_cfa_offset -8
  pop %rdx
  .cfi_adjust_cfa_offset -8
  pop %rsi
  .cfi_adjust_cfa_offset -8
  pop %rdi
  .cfi_adjust_cfa_offset -8
.endm

.text
.balign 16
.globl prctl
.type prctl, @function
prctl:
  .cfi_startproc
  endbr64
  cmp $8, %edi               # PR_SET_KEEPCAPS
  je SondePausedPrctl
  cmp $24, %edi              # PR_CAPBSET_DROP
  je SondePausedPrctl
  cmp $28, %edi              # PR_SET_SECUREBITS
  je SondePausedPrctl
  cmp $38, %edi              # PR_SET_NO_NEW_PRIVS
  je SondePausedPrctl
  cmp $47, %edi              # PR_CAP_AMBIENT
  je SondePausedPrctl
  cmp $22, %edi              # PR_SET_SECCOMP
  jne 1f
  SONDE_CALL_KEEPING_ARGUMENTS SondeBeforeSeccomp
1:
  mov sonde_real_prctl(%rip), %rax
  test %rax, %rax
  jnz 4f
  SONDE_CALL_KEEPING_ARGUMENTS SondeFindJumps
  mov sonde_real_prctl(%rip), %rax
4:
  notrack jmp *%rax
  .cfi_endproc
.size prctl, .-prctl

.balign 16
.globl syscall
.type syscall, @function
syscall:
  .cfi_startproc
  endbr64
  cmp $317, %rdi             # SYS_seccomp
  je 2f
  cmp $13, %rdi              # SYS_rt_sigaction
  je 5f
  cmp $126, %rdi             # SYS_capset
  je SondePausedSyscall
  cmp $157, %rdi             # SYS_prctl
  jne 3f
  cmp $22, %esi              # PR_SET_SECCOMP
  jne 3f
2:
  SONDE_CALL_KEEPING_ARGUMENTS SondeBeforeSeccomp
3:
  mov sonde_real_syscall(%rip), %rax
  test %rax, %rax
  jnz 4f
  SONDE_CALL_KEEPING_ARGUMENTS SondeFindJumps
  mov sonde_real_syscall(%rip), %rax
4:
  notrack jmp *%rax
5:
  SONDE_CALL_KEEPING_ARGUMENTS SondeBeforeSigaction
  jmp 3b
  .cfi_endproc
.size syscall, .-syscall
)");
