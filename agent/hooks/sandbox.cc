// SPDX-License-Identifier: Apache-2.0
// Ports, name spaces and seccomp: where the host must find the process as if we were not there.
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "agent/hooks/hook.h"
#include "agent/hooks/host_memory.h"
#include "agent/hooks/tracing.h"
#include "agent/life/host_signal.h"
#include "agent/life/yield.h"
#include "collectors/safe/rings.h"
#include "collectors/safe/sys.h"

extern "C" int capset(cap_user_header_t header,
                      const cap_user_data_t data);  // no header of libc has it

namespace sonde::hooks {

// One byte a number: whether it is special. Read by assembly.
struct SpecialNumbers {
  uint8_t is_special[512];
};

}  // namespace sonde::hooks

namespace {

using sonde::hooks::SpecialNumbers;

SONDE_REAL(bind);
SONDE_REAL(capset);
SONDE_REAL(unshare);
SONDE_REAL(setns);

// The port lies at the same place in both.
int PortOf(const struct sockaddr* address, socklen_t size) {
  sockaddr_in to{};
  const size_t needed = offsetof(sockaddr_in, sin_zero);
  if (address == nullptr || size < sizeof to) return 0;
  if (!sonde::hooks::ReadOfHost(address, &to, needed)) return 0;
  const bool has_port =
      to.sin_family == AF_INET || (to.sin_family == AF_INET6 && size >= sizeof(sockaddr_in6));
  return has_port ? ntohs(to.sin_port) : 0;
}
static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));

constexpr int kMountNamespace =
    1 << 30;  // "setns into a mount name space", beside the CLONE_* bits

// Name spaces whose change the kernel permits to single-threaded callers only.
bool WantsSingleThread(int kinds) {
  constexpr int kNewTime = 0x80;
  return (kinds & (CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | kNewTime |
                   kMountNamespace)) != 0;
}

// For setns: a mount name space wants a caller that shares its root and working directory with
// nobody.
int KindOfNamespace(int fd, int kind) {
  constexpr long kGetNamespaceType = 0xb703;  // NS_GET_NSTYPE
  long kinds = kind;
  if (kind == 0) kinds = sonde::sys::Call(SYS_ioctl, fd, kGetNamespaceType);
  if (sonde::sys::Failed(kinds)) return CLONE_NEWUSER;  // not to be told: as if it did
  return static_cast<int>(kinds & ~CLONE_NEWNS) |
         ((kinds & CLONE_NEWNS) != 0 ? kMountNamespace : 0);
}

constexpr int kSpecialPrctls[] = {PR_SET_KEEPCAPS,   PR_SET_SECCOMP,      PR_CAPBSET_DROP,
                                  PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT};
// Credentials belong to a thread in the kernel; libc carries the set*id calls to all threads, but
// not the raw ones.
constexpr int kSpecialSyscalls[] = {
    SYS_seccomp,   SYS_prctl,    SYS_rt_sigaction, SYS_capset,   SYS_unshare,       SYS_setns,
    SYS_setuid,    SYS_setgid,   SYS_setreuid,     SYS_setregid, SYS_setgroups,     SYS_setresuid,
    SYS_setresgid, SYS_setfsuid, SYS_setfsgid,     SYS_ptrace,   SYS_io_uring_setup};

template <size_t kCount>
constexpr auto MarkAll(const int (&numbers)[kCount]) {
  SpecialNumbers marks{};
  for (const int number : numbers) marks.is_special[number] = 1;
  return marks;
}

void BeforeSeccomp() {
  sonde::hooks::FindAllNext();
  sonde::life::GoDormant(sonde::life::DormantReason::kSeccomp);
}

bool IsSpecialPrctl(long option) {
  for (const int special : kSpecialPrctls) {
    if (option == special) return true;
  }
  return false;
}

// What must happen before; true when the agent's thread has to be out of the way during the call.
bool BeforeSpecialSyscall(long number, long a, long b) {
  switch (number) {
    case SYS_seccomp:
      BeforeSeccomp();
      return false;
    case SYS_prctl:
      if (static_cast<int>(a) == PR_SET_SECCOMP) BeforeSeccomp();
      return static_cast<int>(a) != PR_SET_SECCOMP && IsSpecialPrctl(static_cast<int>(a));
    case SYS_ptrace:
      if (a == PTRACE_TRACEME) sonde::hooks::BeforeBeingTraced();
      return false;
    case SYS_io_uring_setup:
      sonde::NoteRing();
      return false;
    case SYS_rt_sigaction:
      if (b != 0 && a != 0 && a == sonde::life::g_our_signal.load(std::memory_order_relaxed)) {
        sonde::life::VacateSignal(static_cast<int>(a));
      }
      return false;
    case SYS_unshare:
      return WantsSingleThread(static_cast<int>(a));
    case SYS_setns:
      return WantsSingleThread(KindOfNamespace(static_cast<int>(a), static_cast<int>(b)));
    default:
      return true;
  }
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
  const sonde::life::ThreadPause pause(WantsSingleThread(flags));
  return real_unshare.get()(flags);
}

SONDE_EXPORT int setns(int fd, int kind) noexcept {
  const sonde::life::ThreadPause pause(WantsSingleThread(KindOfNamespace(fd, kind)));
  return real_setns.get()(fd, kind);
}

// Capabilities, secure bits and no_new_privs are a thread's own; libc does not carry them to the
// others. A new agent thread gets them from the thread that made it, so it is ended before such a
// call and made anew after it.
SONDE_EXPORT int capset(cap_user_header_t header, const cap_user_data_t data) {
  const sonde::life::ThreadPause pause(true);
  return real_capset.get()(header, data);
}

// prctl and syscall take any number of arguments and may return twice (vfork), so the hooks are
// jumps: the arguments stay where they are. Only what a table names goes through a function of
// ours, and none of that returns twice.
extern "C" {
__attribute__((visibility("hidden"), used)) constinit void* sonde_real_prctl = nullptr;
__attribute__((visibility("hidden"), used)) constinit void* sonde_real_syscall = nullptr;

__attribute__((visibility("hidden"), used)) void SondeFindJumps() {
  sonde_real_prctl = sonde::hooks::FindNext(sonde::hooks::kHook_prctl);
  sonde_real_syscall = sonde::hooks::FindNext(sonde::hooks::kHook_syscall);
}

extern __attribute__((visibility("hidden"))) const SpecialNumbers sonde_special_prctls;
extern __attribute__((visibility("hidden"))) const SpecialNumbers sonde_special_syscalls;
constinit const SpecialNumbers sonde_special_prctls = MarkAll(kSpecialPrctls);
constinit const SpecialNumbers sonde_special_syscalls = MarkAll(kSpecialSyscalls);

__attribute__((visibility("hidden"), used)) long SondeSpecialPrctl(long option, long a, long b,
                                                                   long c, long d) {
  SondeFindJumps();
  if (static_cast<int>(option) == PR_SET_SECCOMP) BeforeSeccomp();
  const sonde::life::ThreadPause pause(static_cast<int>(option) != PR_SET_SECCOMP);
  return reinterpret_cast<int (*)(int, ...)>(sonde_real_prctl)(static_cast<int>(option), a, b, c,
                                                               d);
}

__attribute__((visibility("hidden"), used)) long SondeSpecialSyscall(long number, long a, long b,
                                                                     long c, long d, long e,
                                                                     long f) {
  SondeFindJumps();
  const bool pause_it = BeforeSpecialSyscall(number, a, b);
  const sonde::life::ThreadPause pause(pause_it);
  return reinterpret_cast<long (*)(long, ...)>(sonde_real_syscall)(number, a, b, c, d, e, f);
}
}

asm(R"(
.macro SONDE_JUMP_HOOK name, number, special, slow, real
.balign 16
.globl \name
.type \name, @function
\name:
  .cfi_startproc
  endbr64
  cmp $511, \number
  ja 1f
  lea \special(%rip), %rax
  cmpb $0, (%rax, \number)
  jne \slow
1:
  mov \real(%rip), %rax
  test %rax, %rax
  jz 2f
  notrack jmp *%rax
2:
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
  sub $8, %rsp
  .cfi_adjust_cfa_offset 8
  call SondeFindJumps
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
  jmp 1b
  .cfi_endproc
.size \name, .-\name
.endm

.text
.balign 16
SONDE_JUMP_HOOK syscall, %rdi, sonde_special_syscalls, SondeSpecialSyscall, sonde_real_syscall

# prctl's option is an int: the upper half of rdi is anything.
.balign 16
.globl prctl
.type prctl, @function
prctl:
  .cfi_startproc
  endbr64
  mov %edi, %edi
  jmp sonde_prctl_with_clean_option
  .cfi_endproc
.size prctl, .-prctl
SONDE_JUMP_HOOK sonde_prctl_with_clean_option, %rdi, sonde_special_prctls, SondeSpecialPrctl, sonde_real_prctl
.hidden sonde_prctl_with_clean_option
)");
