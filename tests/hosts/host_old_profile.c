// SPDX-License-Identifier: Apache-2.0
// Hosts under the seccomp profile of an old container runtime, which refuses close_range and
// unshare: an agent cannot have a descriptor table of its own the ordinary way. Whatever it does
// instead, no descriptor of the host may be closed, used or given another number for it.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kSkip = 77, kNobody = 65534, kPairs = 40 };

// Death instead of an error where an agent would try again and again is not what those did.
static int ExecUnderOldProfile(const char* role) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const struct sock_fprog program = {sizeof code / sizeof code[0], code};
  setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);  // what every pod is given
  setenv("HOST_AGENT_TASKS", "2", 1);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return kSkip;
  ExecRole(role, NULL);
}

struct Identity {
  dev_t device;
  ino_t inode;
};

static struct Identity Of(int fd) {
  struct stat found;
  struct Identity identity = {0, 0};
  if (fstat(fd, &found) == 0) identity = (struct Identity){found.st_dev, found.st_ino};
  return identity;
}

static int Same(struct Identity a, struct Identity b) {
  return a.device == b.device && a.inode == b.inode;
}

// Sockets on every number that an agent could have had, from 3 and from the top of the limit.
static int TakeNumbers(int* fds, struct Identity* identities) {
  int count = 0, pair[2];
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 0; i < kPairs; i++) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) break;
    fds[count++] = pair[0];
    fds[count++] = pair[1];
    fds[count++] = dup3(pair[1], (int)limit.rlim_cur - 1 - i, O_CLOEXEC);
  }
  for (int i = 0; i < count; i++) identities[i] = Of(fds[i]);
  return count;
}

static void CheckNumbers(const int* fds, const struct Identity* identities, int count) {
  int changed = 0, written = 0;
  for (int i = 0; i < count; i++) {
    struct pollfd state = {fds[i], POLLIN, 0};
    changed += !Same(Of(fds[i]), identities[i]);
    written += poll(&state, 1, 0) != 0;
  }
  Say("of %d descriptors %d changed, %d readable or gone", count, changed, written);
}

HOST_ROLE(close_all_and_reuse) {
  int fds[3 * kPairs], pipes[2];
  struct Identity identities[3 * kPairs];
  SettleAgent();
  Burn(40);
  for (int round = 0; round < 3; round++) {
    int closed = 0;
    for (int fd = 3; fd < 65536; fd++) closed += close(fd) == 0;
    Say("closed %d", closed);
    const int count = TakeNumbers(fds, identities);
    Burn(60);
    SleepMs(60);
    CheckNumbers(fds, identities, count);
    for (int i = 0; i < count; i++) close(fds[i]);
  }
  if (pipe(pipes) != 0) return 1;
  close(pipes[1]);
  struct pollfd state = {pipes[0], POLLIN, 0};
  Say("end of file is seen: %d", poll(&state, 1, 1000) == 1 && (state.revents & POLLHUP) != 0);
  close(pipes[0]);
  ReportSelf();
  return 43;
}

HOST_CASE(old_profile_and_all_numbers_reused, high_descriptor_user, fast) {
  return ExecUnderOldProfile("close_all_and_reuse");
}

static void* BurnForever(void* unused) {
  for (;;) Burn(10);
  return unused;
}

// What every daemon does: the lowest number is its, each time.
HOST_ROLE(expect_the_lowest_number) {
  pthread_t thread;
  SettleAgent();
  pthread_create(&thread, NULL, BurnForever, NULL);
  int wrong = 0;
  const int64_t end = WallMs() + 600;
  while (WallMs() < end) {
    close(0);
    for (int i = 0; i < 50; i++) sched_yield();
    wrong += open("/dev/null", O_RDWR | O_CLOEXEC) != 0;
  }
  Say("wrong numbers: %d", wrong);
  return 44;
}

HOST_CASE(old_profile_and_lowest_numbers, low_descriptor_user, fast) {
  return ExecUnderOldProfile("expect_the_lowest_number");
}

static int TryLock(void* path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(fd, F_SETLK, &lock) == 0 ? 1 : errno;
}

HOST_ROLE(lock_and_drop_rights) {
  SettleAgent();
  const int fd = open("locked", O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  Say("lock: %d", fcntl(fd, F_SETLK, &lock));
  Burn(40);
  if (geteuid() == 0) {
    Say("setgid %d setuid %d", setgid(kNobody), setuid(kNobody));
    SleepMs(150);
    Say("tasks with other rights: %d", CountTasksThatDiffer("Uid") + CountTasksThatDiffer("Gid"));
  }
  Burn(60);
  SayStatus("another process is refused with EAGAIN", InChild(TryLock, "locked"));
  unlink("locked");
  ReportSelf();
  return 45;
}

HOST_CASE(old_profile_and_dropped_rights, raw_clone_thread, fast) {
  return ExecUnderOldProfile("lock_and_drop_rights");
}

HOST_ROLE(obey_under_old_profile) { return ExecUnderOldProfile("obey"); }
