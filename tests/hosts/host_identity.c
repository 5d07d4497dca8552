// SPDX-License-Identifier: Apache-2.0
// Hosts that change who and where they are: users, groups, name spaces, roots. Most need root and
// skip without.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kNobody = 65534, kSkip = 77 };

static volatile bool burning = true;

static void* BurnBeside(void* unused) {
  while (burning) Burn(2);
  return unused;
}

// Every task of the process, an agent's included, must have the new identity: a forgotten one keeps
// root's power.
static void SayTaskIdentities(void) {
  DIR* tasks = opendir("/proc/self/task");
  int different = 0;
  for (struct dirent* entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
    char path[300], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    FILE* file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
      unsigned real, effective;
      if (sscanf(line, "Uid: %u %u", &real, &effective) == 2)
        different += real != getuid() || effective != geteuid();
      if (sscanf(line, "Gid: %u %u", &real, &effective) == 2)
        different += real != getgid() || effective != getegid();
    }
    if (file != NULL) fclose(file);
  }
  if (tasks != NULL) closedir(tasks);
  Say("uid %u gid %u groups %d, tasks with another identity: %d", getuid(), getgid(),
      getgroups(0, NULL), different);
}

static void* DropPrivileges(void* unused) {
  const gid_t group = kNobody;
  Say("setgroups %d", setgroups(1, &group));
  Say("setgid %d", setgid(kNobody));
  Say("setuid %d", setuid(kNobody));
  Say("setuid back %d errno %d", setuid(0), errno);
  return unused;
}

static int DropFromMain(void* unused) {
  Burn(40);
  DropPrivileges(unused);
  SayTaskIdentities();
  Burn(40);
  return 0;
}

static int DropFromThread(void* unused) {
  pthread_t burners[2], dropper;
  for (int i = 0; i < 2; i++) pthread_create(&burners[i], NULL, BurnBeside, NULL);
  SleepMs(30);
  pthread_create(&dropper, NULL, DropPrivileges, unused);
  pthread_join(dropper, NULL);
  SayTaskIdentities();
  burning = false;
  for (int i = 0; i < 2; i++) pthread_join(burners[i], NULL);
  return 0;
}

HOST_CASE(privileges_are_dropped_by_main, raw_blocked_thread, fast) {
  if (getuid() != 0) return kSkip;
  SayStatus("in a child", InChild(DropFromMain, NULL));
  return DropFromMain(NULL);
}

HOST_CASE(privileges_are_dropped_by_a_thread, raw_blocked_thread, fast) {
  if (getuid() != 0) return kSkip;
  SayStatus("in a child", InChild(DropFromThread, NULL));
  burning = true;
  return DropFromThread(NULL);
}

HOST_CASE(effective_user_changes_and_returns, raw_clone_thread, fast) {
  if (getuid() != 0) return kSkip;
  for (int i = 0; i < 20; i++) {
    if (setegid(kNobody) + seteuid(kNobody) != 0) Say("seteuid: FAILED");
    Burn(1);
    SayTaskIdentities();
    if (seteuid(0) + setegid(0) != 0) Say("seteuid back: FAILED");
  }
  Say("setresuid %d setregid %d", setresuid(0, kNobody, 0), setregid(0, kNobody));
  SayTaskIdentities();
  return 0;
}

static int UnshareUser(void* unused) {
  (void)unused;
  Burn(60);
  const int result = unshare(CLONE_NEWUSER);
  Say("unshare user: %d errno %d", result, result ? errno : 0);
  Burn(40);
  return 0;
}

HOST_CASE(unshare_user_name_space, thread_at_start, fast) {
  UnshareUser(NULL);
  Say("unshare mounts: %d", unshare(CLONE_NEWNS));
  Say("unshare several: %d", unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_FS | CLONE_FILES));
  Burn(40);
  return 0;
}

HOST_CASE(unshare_in_a_child, thread_at_fork, fast) {
  SayStatus("child", InChild(UnshareUser, NULL));
  return 0;
}

static int JoinNameSpaces(void* pid) {
  char path[64];
  static const char* const kKinds[] = {"user", "mnt", "uts"};
  int spaces[3];
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "/proc/%d/ns/%s", *(int*)pid, kKinds[i]);
    spaces[i] = open(path, O_RDONLY | O_CLOEXEC);
  }
  Burn(60);
  for (int i = 0; i < 3; i++) {
    const int result = setns(spaces[i], 0);
    Say("setns %s: %d errno %d", kKinds[i], result, result ? errno : 0);
    close(spaces[i]);
  }
  Burn(40);
  return 0;
}

HOST_CASE(setns_into_another_process, thread_at_start, fast) {
  int ready[2];
  if (pipe(ready) != 0) return 1;
  int pid = fork();
  if (pid == 0) {
    const int failed = unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS);
    if (write(ready[1], failed ? "n" : "y", 1) != 1) return 1;
    pause();
  }
  char answer = 'n';
  if (read(ready[0], &answer, 1) != 1 || answer == 'n') return kSkip;
  JoinNameSpaces(&pid);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return 0;
}

HOST_CASE(chroot_and_chdir, cwd_changer, fast) {
  char directory[4096];
  Check(getcwd(directory, sizeof directory) != NULL && strstr(directory, "sonde-hosts-") != NULL,
        "started where we were put");
  if (getuid() != 0) return kSkip;
  Burn(40);
  Say("mkdir %d chroot %d chdir %d", mkdir("jail", 0755), chroot("jail"), chdir("/"));
  Burn(60);
  Say("getcwd: %s", getcwd(directory, sizeof directory));
  Say("nothing inside: %d", access("/proc", F_OK));
  const int fd = open("file", O_CREAT | O_WRONLY, 0600);
  Say("file %d", fd);
  close(fd);
  return 0;
}

HOST_CASE(not_dumpable, dumpable_changer, fast) {
  Say("set %d", prctl(PR_SET_DUMPABLE, 0));
  Burn(60);
  Say("dumpable %d", prctl(PR_GET_DUMPABLE));
  if (getuid() != 0) return 0;
  Say("setuid %d", setresuid(kNobody, kNobody, kNobody));
  Burn(60);
  Say("dumpable after setuid %d, own fd directory %d", prctl(PR_GET_DUMPABLE),
      access("/proc/self/fd", R_OK));
  return 0;
}

HOST_CASE(umask_and_nice_stay, umask_changer, fast) {
  const mode_t mask = umask(027);
  umask(mask);
  Burn(40);
  Say("umask %o", mask);
  cpu_set_t cpus;
  sched_getaffinity(0, sizeof cpus, &cpus);
  Say("scheduler %d cpus %d", sched_getscheduler(0), CPU_COUNT(&cpus));
  Say("keepcaps %d nnp %d", prctl(PR_GET_KEEPCAPS), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  Say("death signal set %d", prctl(PR_SET_PDEATHSIG, SIGUSR1));
  int sig = 0;
  prctl(PR_GET_PDEATHSIG, &sig);
  Say("death signal %d", sig);
  return 0;
}

// capset has no header in the C library, and changes the calling thread only: in a single-threaded
// host that is all.
int capset(void* header, const void* data);
int capget(void* header, void* data);

struct CapabilityHeader {
  unsigned version;
  int pid;
};
struct CapabilityWords {
  unsigned effective, permitted, inheritable;
};

static int ReadCapabilities(struct CapabilityWords words[2]) {
  struct CapabilityHeader header = {0x20080522, 0};
  return capget(&header, words);
}

static int WriteCapabilities(const struct CapabilityWords words[2]) {
  struct CapabilityHeader header = {0x20080522, 0};
  return capset(&header, words);
}

static void SayTaskCapabilities(void) {
  DIR* tasks = opendir("/proc/self/task");
  unsigned long long mine = 0, its = 0;
  int different = 0, known = 0;
  for (struct dirent* entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
    char path[300], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    FILE* file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
      if (sscanf(line, "CapPrm: %llx", &its) != 1) continue;
      if (known++ == 0) mine = its;
      different += its != mine;
    }
    if (file != NULL) fclose(file);
  }
  if (tasks != NULL) closedir(tasks);
  Say("permitted %llx, tasks with others: %d", mine, different);
}

HOST_CASE(capabilities_are_dropped_by_every_task, raw_clone_thread, fast) {
  if (getuid() != 0) return kSkip;
  struct CapabilityWords words[2];
  Burn(40);
  Say("capget %d", ReadCapabilities(words));
  words[0].effective = words[0].permitted = 1;  // CAP_CHOWN alone
  words[1].effective = words[1].permitted = 0;
  Say("capset %d", WriteCapabilities(words));
  SleepMs(20);
  SayTaskCapabilities();
  Burn(40);
  return 0;
}

// As daemons do that must bind a low port later. libc aborts when a thread fails where the caller
// succeeded.
HOST_CASE(capabilities_kept_across_setuid, setgroups_breaker, fast) {
  if (getuid() != 0) return kSkip;
  struct CapabilityWords words[2];
  Say("capget %d", ReadCapabilities(words));
  Burn(40);
  Say("keepcaps %d", prctl(PR_SET_KEEPCAPS, 1));
  Say("setresuid %d", setresuid(kNobody, kNobody, kNobody));
  Say("capset %d", WriteCapabilities(words));
  SleepMs(20);
  const gid_t group = kNobody;
  Say("setgroups %d", setgroups(1, &group));
  Say("setresgid %d", setresgid(kNobody, kNobody, kNobody));
  SayTaskIdentities();
  Burn(40);
  return 0;
}
