// SPDX-License-Identifier: Apache-2.0
// Hosts that set, query and reset dispositions and masks, and use the profiling signal themselves.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static void Nothing(int sig) { (void)sig; }
static void NothingWithInfo(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)info, (void)context;
}

static const char* NameOf(void* handler) {
  if (handler == (void*)SIG_DFL) return "default";
  if (handler == (void*)SIG_IGN) return "ignore";
  if (handler == (void*)Nothing) return "ours";
  if (handler == (void*)NothingWithInfo) return "ours with info";
  return "FAILED: foreign";
}

static void SayAction(const char* label, int sig, int result, const struct sigaction* action) {
  if (result != 0) {
    Say("%s %d: errno %d", label, sig, errno);
    return;
  }
  int masked = 0;
  for (int other = 1; other <= SIGRTMAX; other++)
    masked += sigismember(&action->sa_mask, other) == 1;
  Say("%s %d: %s flags %#x mask %d", label, sig, NameOf((void*)action->sa_handler),
      (unsigned)action->sa_flags & ~0x04000000U, masked);
}

HOST_CASE(sigaction_set_query_reset_of_every_signal, sigprof_taker, fast) {
  Burn(20);
  for (int sig = 0; sig <= SIGRTMAX + 1; sig++) {
    struct sigaction mine = {.sa_sigaction = NothingWithInfo,
                             .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER},
                     old;
    sigemptyset(&mine.sa_mask);
    sigaddset(&mine.sa_mask, SIGUSR2);
    memset(&old, 0, sizeof old);
    SayAction("set", sig, sigaction(sig, &mine, &old), &old);
    SayAction("query", sig, sigaction(sig, NULL, &old), &old);
    mine.sa_handler = SIG_IGN;
    mine.sa_flags = 0;
    SayAction("ignore", sig, sigaction(sig, &mine, &old), &old);
    mine.sa_handler = SIG_DFL;
    SayAction("reset", sig, sigaction(sig, &mine, &old), &old);
    SayAction("query", sig, sigaction(sig, NULL, &old), &old);
  }
  return 0;
}

HOST_CASE(signal_set_query_reset_of_every_signal, sigprof_taker, fast) {
  Burn(20);
  for (int sig = 0; sig <= SIGRTMAX + 1; sig++) {
    const char* first = NameOf((void*)signal(sig, Nothing));
    const char* second = NameOf((void*)signal(sig, SIG_IGN));
    const char* third = NameOf((void*)signal(sig, SIG_DFL));
    const char* fourth = NameOf((void*)signal(sig, SIG_DFL));
    if (sig < 1 || sig > SIGRTMAX || sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33) {
      Say("signal %d is refused: %d", sig, signal(sig, SIG_DFL) == SIG_ERR);
    } else {
      Say("signal %d: %s, %s, %s, %s", sig, first, second, third, fourth);
    }
  }
  return 0;
}

HOST_CASE(other_ways_to_set_a_disposition, sigprof_taker, fast) {
  Burn(20);
  Say("sysv_signal: %s", NameOf((void*)sysv_signal(SIGPROF, Nothing)));
  Say("sigset: %s", NameOf((void*)sigset(SIGPROF, Nothing)));
  Say("sigignore: %d", sigignore(SIGPROF));
  Say("bsd_signal after: %s", NameOf((void*)signal(SIGPROF, SIG_DFL)));
  Say("siginterrupt: %d", siginterrupt(SIGPROF, 1));
  Say("sighold: %d", sighold(SIGPROF));
  Say("sigrelse: %d", sigrelse(SIGPROF));
  return 0;
}

struct KernelAction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)(void);
  unsigned long mask;
};

// As Go's runtime does it: around the C library.
HOST_CASE(raw_query_of_every_signal, sigprof_taker, fast) {
  for (int sig = 1; sig <= 64; sig++) {
    struct KernelAction action = {0};
    const long result = syscall(SYS_rt_sigaction, sig, NULL, &action, 8);
    // 32 and 33 belong to the C library, which sets them when it needs them.
    if (sig != 32 && sig != 33 && !AgentThreadIsAllowed()) {
      Say("raw %d: %ld %s", sig, result,
          action.handler == SIG_DFL   ? "default"
          : action.handler == SIG_IGN ? "ignore"
                                      : "set");
    }
  }
  return 0;
}

static volatile sig_atomic_t received, foreign;

static void CountProf(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)context;
  received++;
  foreign += info->si_code == SI_TIMER || info->si_code == SI_TKILL;
}

static void HandleProf(void) {
  struct sigaction action = {.sa_sigaction = CountProf, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGPROF, &action, NULL);
}

HOST_CASE(own_sigprof_handler_gets_only_what_was_sent, prof_storm, fast) {
  HandleProf();
  Burn(100);
  for (int i = 0; i < 50; i++) {
    kill(getpid(), SIGPROF);
    Burn(1);
  }
  union sigval value = {.sival_int = 7};
  sigqueue(getpid(), SIGPROF, value);
  Burn(50);
  Say("received %d, of them not sent by us %d", (int)received, (int)foreign);
  signal(SIGPROF, SIG_DFL);
  return 0;
}

HOST_CASE(own_profiler_by_setitimer, prof_storm, fast) {
  HandleProf();
  const struct itimerval every = {{0, 10000}, {0, 10000}};
  Say("setitimer %d", setitimer(ITIMER_PROF, &every, NULL));
  struct itimerval seen;
  getitimer(ITIMER_PROF, &seen);
  Say("interval %ld us", (long)seen.it_interval.tv_usec);
  Burn(300);
  const struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_PROF, &never, NULL);
  // The kernel's tick is 1 to 10 ms: 30 are due, fewer than 56 proves that no other timer adds to
  // them.
  Check(received >= 12 && received <= 55, "as many signals as asked for");
  signal(SIGPROF, SIG_DFL);
  Burn(50);
  return 0;
}

static void RawHandleProf(int sig) {
  (void)sig;
  received++;
}
__asm__(".text\nRawRestorer: mov $15, %eax\nsyscall\n");
extern void RawRestorer(void);

static int RawProfile(void* unused) {
  (void)unused;
  struct KernelAction action = {RawHandleProf, 0x04000000UL | SA_RESTART, RawRestorer, 0},
                      old = {0};
  syscall(SYS_rt_sigaction, SIGPROF, &action, &old, 8);
  Burn(60);
  for (int i = 0; i < 5; i++) kill(getpid(), SIGPROF);
  return received == 5 ? 70 : 80 + received;
}

HOST_CASE(own_raw_sigprof_handler, prof_storm, fast) {
  SayStatus("raw handler got its five", InChild(RawProfile, NULL));
  return 0;
}

static int RawReset(void* unused) {
  (void)unused;
  HandleProf();
  struct KernelAction none = {0};
  syscall(SYS_rt_sigaction, SIGPROF, &none, NULL, 8);
  Burn(150);
  return 72;
}

// An interpreter restores the default behind the C library's back at its end.
HOST_CASE(raw_reset_to_default_does_not_kill, prof_storm, fast) {
  SayStatus("lived on", InChild(RawReset, NULL));
  return 0;
}

static int BurnAndDieOfProf(void* unused) {
  (void)unused;
  Burn(30);
  kill(getpid(), SIGPROF);
  Burn(100);
  return 73;
}

static int BurnWithProfDefault(void* unused) {
  (void)unused;
  HandleProf();
  Burn(40);
  signal(SIGPROF, SIG_DFL);
  Burn(100);
  return 74;
}

static int BurnWithProfIgnored(void* unused) {
  (void)unused;
  signal(SIGPROF, SIG_IGN);
  Burn(100);
  kill(getpid(), SIGPROF);
  return 75;
}

HOST_CASE(sigprof_default_and_ignored, signal_catcher, fast) {
  SayStatus("sent with the default action", InChild(BurnAndDieOfProf, NULL));
  SayStatus("handler, then default, nothing sent", InChild(BurnWithProfDefault, NULL));
  SayStatus("ignored and sent", InChild(BurnWithProfIgnored, NULL));
  return 0;
}

static void* MaskReport(void* unused) {
  sigset_t mask;
  Burn(10);
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  int blocked = 0;
  for (int sig = 1; sig <= SIGRTMAX; sig++) blocked += sigismember(&mask, sig) == 1;
  Say("thread has %d signals blocked", blocked);
  return unused;
}

HOST_CASE(masks_are_what_was_asked_for, mask_changer, fast) {
  MaskReport(NULL);
  for (int round = 0; round < 3; round++) {
    sigset_t set;
    sigemptyset(&set);
    if (round == 1) sigfillset(&set);
    if (round == 2) sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    MaskReport(NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, MaskReport, NULL);
    pthread_join(thread, NULL);
    sigset_t pending;
    sigpending(&pending);
    Say("SIGPROF pending: %d", sigismember(&pending, SIGPROF));
  }
  return 0;
}

// Whatever number an agent picks instead of SIGPROF, the host may use it too.
HOST_CASE(every_real_time_signal_arrives_once, rt_eater, fast) {
  struct sigaction action = {.sa_sigaction = CountProf, .sa_flags = SA_SIGINFO};
  for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) sigaction(sig, &action, NULL);
  Burn(50);
  for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
    for (int i = 0; i < 3; i++) sigqueue(getpid(), sig, (union sigval){.sival_int = i});
  }
  Say("sent 3 of each of %d: received %d", SIGRTMAX - SIGRTMIN + 1, (int)received);
  for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) signal(sig, SIG_DFL);
  return 0;
}
