// SPDX-License-Identifier: Apache-2.0
// Hosts in odd root file systems, as containers and jails have them: read-only, without /proc,
// without /tmp and /dev/shm, or without the marks of a container and under a filter that kills.
// All need root and skip without.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kSkip = 77, kWithProc = 1, kWithScratch = 2, kReadOnly = 4 };

static const char kRoot[] = "root";

static void MakeParents(char* path) {
  for (char* slash = strchr(path + sizeof kRoot, '/'); slash != NULL;
       slash = strchr(slash + 1, '/')) {
    *slash = 0;
    mkdir(path, 0755);
    *slash = '/';
  }
}

static int Bind(const char* from, const char* to) {
  return mount(from, to, NULL, MS_BIND | MS_REC, NULL);
}

// A file of the outside at its own path inside: this program, and what is preloaded into it.
static void BindFile(const char* path) {
  char inside[4200];
  if (path == NULL || path[0] != '/') return;
  snprintf(inside, sizeof inside, "%s%s", kRoot, path);
  if (access(inside, F_OK) == 0) return;
  MakeParents(inside);
  close(open(inside, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
  Bind(path, inside);
}

static int IsOneOf(const char* name, const char* const* list) {
  for (; *list != NULL; list++) {
    if (strcmp(name, *list) == 0) return 1;
  }
  return 0;
}

static void CopyEntry(const char* name) {
  char from[300], to[300], target[300];
  snprintf(from, sizeof from, "/%s", name);
  snprintf(to, sizeof to, "%s/%s", kRoot, name);
  const ssize_t length = readlink(from, target, sizeof target - 1);
  if (length > 0) {
    target[length] = 0;
    if (symlink(target, to) != 0) Say("symlink: FAILED");
    return;
  }
  if (mkdir(to, 0755) == 0) Bind(from, to);
}

// What programs need of this machine's root, and nothing else: no mark of a container, in
// particular.
static void CopyRoot(int with) {
  static const char* const kNeeded[] = {"usr", "bin", "sbin", "lib", "lib64", "etc", NULL};
  DIR* root = opendir("/");
  for (struct dirent* entry; root != NULL && (entry = readdir(root)) != NULL;) {
    if (IsOneOf(entry->d_name, kNeeded)) CopyEntry(entry->d_name);
  }
  if (root != NULL) closedir(root);
  mkdir("root/proc", 0755);
  mkdir("root/dev", 0755);
  mkdir("root/tmp", 0755);
  if (with & kWithProc) Bind("/proc", "root/proc");
  if (!(with & kWithScratch)) return;
  chmod("root/tmp", 01777);
  Bind("/dev", "root/dev");
}

// Executes the role there; skips where mounting is not allowed.
static int ExecInRoot(int with, const char* role) {
  const char* run_directory = getenv("SONDE_RUN_DIR");
  if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0) return kSkip;
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return kSkip;
  mkdir(kRoot, 0755);
  if (mount("root", kRoot, "tmpfs", 0, "mode=755") != 0) return kSkip;
  CopyRoot(with);
  BindFile(getenv("LD_PRELOAD"));
  BindFile(host_argv[0]);
  if ((with & kReadOnly) && mount(NULL, kRoot, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
    return kSkip;
  if (run_directory != NULL && !(with & kWithScratch)) unsetenv("SONDE_RUN_DIR");
  if (chroot(kRoot) != 0 || chdir("/") != 0) return kSkip;
  ExecRole(role, NULL);
}

static void* BurnALittle(void* unused) {
  Burn(40);
  return unused;
}

HOST_ROLE(work_there) {
  SettleAgent();
  pthread_t thread;
  Burn(60);
  pthread_create(&thread, NULL, BurnALittle, NULL);
  pthread_join(thread, NULL);
  const pid_t pid = fork();
  if (pid == 0) {
    Burn(40);
    _exit(4);
  }
  int status = 0;
  Say("fork %d", waitpid(pid, &status, 0) == pid);
  SayStatus("child", status);
  const int fd = open("/tmp/file", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  Say("file in /tmp: %d errno %d", fd, fd < 0 ? errno : 0);
  ReportSelf();
  return 41;
}

HOST_CASE(root_is_read_only, needs_the_usual, fast) {
  return ExecInRoot(kWithProc | kReadOnly, "work_there");
}
HOST_CASE(root_without_proc, needs_the_usual, fast) {
  return ExecInRoot(kWithScratch, "work_there");
}
HOST_CASE(root_without_tmp_and_shared_memory, needs_the_usual, fast) {
  return ExecInRoot(kWithProc, "work_there");
}
HOST_CASE(root_with_nothing_at_all, needs_the_usual, fast) {
  return ExecInRoot(kReadOnly, "work_there");
}

// As systemd's SystemCallFilter= does by default: a list of calls, and death for the rest. Of those
// that an agent's start may want, each is left out once.
static void KillAt(int number) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const struct sock_fprog program = {sizeof code / sizeof code[0], code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) Say("filter: FAILED");
}

HOST_ROLE(work_under_the_filter) {
  Burn(40);
  SleepMs(60);
  return 42;
}

static int ExecUnder(void* number) {
  if (getenv("HOST_TARGET") != NULL) setenv("SONDE_TARGET", getenv("HOST_TARGET"), 1);
  KillAt(*(int*)number);
  ExecRole("work_under_the_filter", NULL);
}

// Executed without SONDE_TARGET, so that each successor is a target of its own and not the helper
// of one.
HOST_ROLE(start_under_each_filter) {
  int calls[] = {SYS_close_range, SYS_fallocate,  SYS_uname,        SYS_socket,
                 SYS_listen,      SYS_mkdirat,    SYS_timer_create, SYS_faccessat,
                 SYS_shmget,      SYS_getdents64, SYS_getppid};
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    Say("without call %zu", i);
    SayStatus("successor", InChild(ExecUnder, &calls[i]));
  }
  return 0;
}

HOST_CASE(root_with_a_killing_filter, needs_the_usual, fast) {
  const char* target = getenv("SONDE_TARGET");
  if (target != NULL) setenv("HOST_TARGET", target, 1);
  unsetenv("SONDE_TARGET");
  setenv("SONDE_LOG", "quiet", 1);
  return ExecInRoot(kWithProc | kWithScratch, "start_under_each_filter");
}
