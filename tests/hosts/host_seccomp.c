// SPDX-License-Identifier: Apache-2.0
// Hosts that lock themselves in: any system call that an agent makes afterwards kills them.
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

#define ALLOW(number) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

// What these hosts do themselves, and nothing else. clock_gettime is for machines whose clock is
// not in the vDSO.
static struct sock_filter kFilter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW(SYS_write),
    ALLOW(SYS_clock_gettime),
    ALLOW(SYS_exit_group),
    ALLOW(SYS_exit),
    ALLOW(SYS_rt_sigreturn),
    ALLOW(SYS_futex),
    ALLOW(SYS_clock_nanosleep),
    ALLOW(SYS_restart_syscall),
    ALLOW(SYS_rt_sigprocmask),
    ALLOW(SYS_madvise),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};
static const struct sock_fprog kProgram = {sizeof kFilter / sizeof kFilter[0], kFilter};

static int ByPrctl(void) { return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &kProgram); }
static int BySyscall(void) {
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &kProgram);
}
static int ByPrctlSyscall(void) {
  return (int)syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &kProgram, 0, 0);
}
static int WithTsync(void) {
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &kProgram);
}

static const struct Install {
  const char* name;
  int (*install)(void);
} kInstalls[] = {{"prctl", ByPrctl},
                 {"syscall seccomp", BySyscall},
                 {"syscall prctl", ByPrctlSyscall},
                 {"tsync", WithTsync}};

static int LockInAndBurn(void* argument) {
  const struct Install* install = argument;
  Burn(30);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const int result = install->install();
  Say("%s: %d errno %d", install->name, result, result ? errno : 0);
  Burn(150);
  SleepMs(30);
  return 20;
}

static volatile bool burning = true;

static void* BurnBeside(void* unused) {
  while (burning) Burn(2);
  return unused;
}

static int LockInWithThreads(void* argument) {
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, BurnBeside, NULL);
  SleepMs(30);
  LockInAndBurn(argument);
  burning = false;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  return 21;
}

HOST_CASE(filter_in_a_child, syscall_at_exit, fast) {
  for (size_t i = 0; i < 4; i++) SayStatus("child", InChild(LockInAndBurn, (void*)&kInstalls[i]));
  return 0;
}

HOST_CASE(filter_in_a_threaded_child, syscall_in_handler, slow) {
  for (size_t i = 0; i < 4; i++)
    SayStatus("child", InChild(LockInWithThreads, (void*)&kInstalls[i]));
  return 0;
}

// In the program itself, where an agent's thread may be; it ends from here, as a report would be
// killed.
HOST_CASE(filter_of_the_program, syscall_at_exit, fast) {
  _exit(LockInAndBurn((void*)&kInstalls[0]));
}
HOST_CASE(filter_of_the_program_by_syscall, syscall_in_handler, fast) {
  _exit(LockInAndBurn((void*)&kInstalls[1]));
}
HOST_CASE(filter_of_the_program_with_tsync, syscall_in_handler, fast) {
  _exit(LockInWithThreads((void*)&kInstalls[3]));
}

static int LockInAndExit(void* install) {
  const int code = LockInAndBurn(install);
  syscall(SYS_write, 1, "leaving by return\n", 18);
  return code;
}

// The ordinary end: destructors and atexit functions run under the filter.
HOST_CASE(filter_then_ordinary_exit, syscall_at_exit, fast) {
  exit(LockInAndExit((void*)&kInstalls[0]));
}

static int StrictMode(void* unused) {
  (void)unused;
  Burn(30);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) return 98;
  // Strict mode allows read, write, _exit and sigreturn only, so time is burnt by counting.
  for (volatile unsigned i = 0; i < 100000000; i++) {
  }
  syscall(SYS_write, 1, "still here\n", 11);
  syscall(SYS_exit, 22);
  return 99;
}

HOST_CASE(strict_mode, syscall_in_handler, fast) {
  SayStatus("child", InChild(StrictMode, NULL));
  return 0;
}

HOST_CASE(refused_filter_changes_nothing, dumpable_changer, fast) {
  Burn(30);
  errno = 0;
  Say("bad pointer: %d errno %d", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL), errno);
  Say("bad operation: %ld errno %d", syscall(SYS_seccomp, 99, 0, NULL), errno);
  Say("mode %d", prctl(PR_GET_SECCOMP));
  Burn(60);
  return 0;
}

// As sandboxes do: an error instead of death, for everything that is not needed, in the program and
// all its children.
static struct sock_filter kErrorFilter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timer_create, 4, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
};
static const struct sock_fprog kErrorProgram = {sizeof kErrorFilter / sizeof kErrorFilter[0],
                                                kErrorFilter};

HOST_ROLE(burn_and_fork) {
  Burn(60);
  pthread_t thread;
  pthread_create(&thread, NULL, BurnBeside, NULL);
  SleepMs(60);
  burning = false;
  pthread_join(thread, NULL);
  const pid_t pid = fork();
  if (pid == 0) _exit(30);
  int status = 0;
  waitpid(pid, &status, 0);
  return WEXITSTATUS(status);
}

static int ExecUnderFilter(void* unused) {
  (void)unused;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &kErrorProgram) != 0) return 98;
  ExecRole("burn_and_fork", NULL);
}

HOST_CASE(started_under_a_refusing_filter, quitter, fast) {
  SayStatus("successor", InChild(ExecUnderFilter, NULL));
  return 0;
}
