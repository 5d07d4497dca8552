// SPDX-License-Identifier: Apache-2.0
// Hosts whose calls an agent's thread would break, spoil or miss: it must be out of the way for
// them, whichever way and from however many threads they come. Most need root and skip without.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kNobody = 65534, kSkip = 77, kCapSysAdmin = 21 };

static atomic_bool stop;

// Worker threads of file servers give themselves a working directory of their own.
static void* UnshareForAWhile(void* unused) {
  for (int i = 0; i < 400; i++) {
    if (unshare(CLONE_FS) != 0) Say("unshare: FAILED, errno %d", errno);
    prctl(PR_CAPBSET_DROP, kCapSysAdmin);
    usleep(500);
  }
  return unused;
}

HOST_CASE(two_threads_unshare_at_once, unshare_racer, fast) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, UnshareForAWhile, NULL);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  SleepMs(100);
  Say("tasks at rest: %d", CountHostTasks());
  Burn(40);
  return 0;
}

static int CountMappings(void) {
  FILE* file = fopen("/proc/self/maps", "re");
  int count = 0;
  for (char line[4200]; file != NULL && fgets(line, sizeof line, file) != NULL;) count++;
  if (file != NULL) fclose(file);
  return count;
}

// Daemons of container networks go from name space to name space for every request. The count may
// move a little for the allocator's own reasons; what each call leaves behind adds up to 200.
HOST_CASE(two_hundred_setns_leave_no_mapping, mapping_leaker, fast) {
  const int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (setns(own, CLONE_NEWNET) != 0) return kSkip;
  Burn(40);
  const int before = CountMappings();
  for (int i = 0; i < 200; i++) {
    if (setns(own, i % 2 ? CLONE_NEWNET : 0) != 0) Say("setns: FAILED, errno %d", errno);
    if (i % 10 == 0 && unshare(CLONE_FS | CLONE_FILES) != 0) Say("unshare: FAILED");
  }
  close(own);
  const int more = CountMappings() - before;
  Say("mappings stay: %d", more < 20);
  if (more >= 20) Say("%d mappings more", more);
  return 0;
}

static void SayTasksAgree(void) {
  static const char* const kKeys[] = {"Uid",    "Gid",    "Groups",     "CapInh",  "CapPrm",
                                      "CapEff", "CapBnd", "NoNewPrivs", "Seccomp:"};
  for (size_t i = 0; i < sizeof kKeys / sizeof kKeys[0]; i++) {
    Say("%s: other in %d tasks", kKeys[i], CountTasksThatDiffer(kKeys[i]));
  }
}

// A runtime without this C library, Go's above all, drops its power this way.
HOST_CASE(privileges_are_dropped_by_raw_calls, raw_clone_thread, fast) {
  if (getuid() != 0) return kSkip;
  Burn(40);
  Say("capbset drop: %ld", syscall(SYS_prctl, PR_CAPBSET_DROP, kCapSysAdmin, 0, 0, 0));
  Say("no new privileges: %ld", syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  Say("bounding set now %d", prctl(PR_CAPBSET_READ, kCapSysAdmin));
  SleepMs(50);
  SayTasksAgree();
  const gid_t group = kNobody;
  Say("setgroups: %ld", syscall(SYS_setgroups, 1, &group));
  Say("setresgid: %ld", syscall(SYS_setresgid, kNobody, kNobody, kNobody));
  Say("setresuid: %ld", syscall(SYS_setresuid, kNobody, kNobody, kNobody));
  SleepMs(50);
  SayTasksAgree();
  Burn(40);
  return 0;
}

HOST_CASE(unshare_user_name_space_by_a_raw_call, thread_at_start, fast) {
  Burn(40);
  const long result = syscall(SYS_unshare, CLONE_NEWUSER);
  Say("unshare by syscall: %ld errno %d", result, result ? errno : 0);
  Burn(40);
  return 0;
}

// What executes in a directory that its parent takes away later: started there, left, unmounted.
HOST_ROLE(start_in_a_mount) {
  SettleAgent();
  Burn(60);
  Say("chdir: %d", chdir("/"));
  const int result = umount(host_argv[3]);
  Say("umount: %d errno %d", result, result ? errno : 0);
  return 0;
}

HOST_CASE(start_directory_can_be_unmounted, directory_keeper, fast) {
  char path[4096];
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
    return kSkip;
  Say("mkdir: %d", mkdir("mount", 0755));
  if (realpath("mount", path) == NULL || mount("none", path, "tmpfs", 0, NULL) != 0) return kSkip;
  Say("chdir: %d", chdir(path));
  ExecRole("start_in_a_mount", path);
}

// By a directory of /proc from before, as code inside the jail would look for a way out.
static int CountRootsElsewhere(DIR* tasks) {
  struct stat root, other;
  int elsewhere = 0, known = 0;
  char path[300];
  if (tasks == NULL || stat("/", &root) != 0) return -1;
  rewinddir(tasks);
  for (struct dirent* entry; (entry = readdir(tasks)) != NULL;) {
    snprintf(path, sizeof path, "%s/root/.", entry->d_name);
    if (entry->d_name[0] == '.' || fstatat(dirfd(tasks), path, &other, 0) != 0) continue;
    known++;
    elsewhere += other.st_ino != root.st_ino || other.st_dev != root.st_dev;
  }
  return known ? elsewhere : -1;
}

HOST_CASE(chroot_holds_for_every_task, thread_with_its_own_root, fast) {
  DIR* tasks = opendir("/proc/self/task");
  if (getuid() != 0) return kSkip;
  Burn(40);
  Say("mkdir %d chroot %d chdir %d", mkdir("jail", 0755), chroot("jail"), chdir("/"));
  SleepMs(100);
  Say("tasks with another root: %d", CountRootsElsewhere(tasks));
  Burn(40);
  closedir(tasks);
  return 0;
}

static void* ForbidPrivileges(void* unused) {
  while (!stop) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    usleep(500);
  }
  return unused;
}

// Kills the whole process at the call that a new thread of an agent begins with.
static int ForbidCloseRange(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

HOST_CASE(filter_beside_calls_that_pause, call_under_the_filter, fast) {
  pthread_t threads[2];
  Say("no new privileges: %d", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, ForbidPrivileges, NULL);
  SleepMs(40);
  Say("filter: %d", ForbidCloseRange());
  Burn(200);
  stop = true;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  return 0;
}
