// SPDX-License-Identifier: Apache-2.0
// Hosts that make processes in every way, and count what they get back.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

extern char** environ;

static int ReportAndExit(void* code) {
  ReportSelf();
  return *(int*)code;
}

HOST_CASE(fork_child_sees_a_clean_process, thread_at_start, fast) {
  int code = 23;
  Burn(50);
  SayStatus("child", InChild(ReportAndExit, &code));
  return 0;
}

static int ForkAgain(void* depth) {
  int left = *(int*)depth - 1;
  Burn(5);
  if (left == 0) return 42;
  const int status = InChild(ForkAgain, &left);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

HOST_CASE(fork_of_fork_of_fork, fork_breaker, fast) {
  int depth = 20;
  SayStatus("twenty generations", InChild(ForkAgain, &depth));
  return 0;
}

static volatile bool stop_burning;

static void* BurnUntilStopped(void* unused) {
  while (!stop_burning) Burn(2);
  return unused;
}

HOST_CASE(fork_beside_burning_threads, fork_breaker, fast) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, BurnUntilStopped, NULL);
  int good = 0, code = 7;
  for (int i = 0; i < 40; i++) {
    const int status = InChild(ForkAgain, &(int){1});
    good += WIFEXITED(status) && WEXITSTATUS(status) == 42;
  }
  Say("good children: %d of 40", good);
  stop_burning = true;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  SayStatus("last child", InChild(ReportAndExit, &code));
  return 0;
}

HOST_ROLE(report_role) {
  ReportSelf();
  return 5;
}

HOST_CASE(vfork_and_exec, env_changer, fast) {
  int status = 0;
  for (int i = 0; i < 20; i++) {
    const pid_t pid = vfork();
    if (pid == 0) {
      execl("/bin/true", "true", (char*)NULL);
      _exit(1);
    }
    waitpid(pid, &status, 0);
    if (status != 0) SayStatus("child", status);
  }
  const pid_t pid = vfork();
  if (pid == 0) ExecRole("report_role", NULL);
  waitpid(pid, &status, 0);
  SayStatus("last child", status);
  return 0;
}

HOST_CASE(vfork_child_closes_descriptors, fd_leak, fast) {
  const int kept = open("/dev/null", O_RDONLY);
  Say("opened %d", kept);
  const pid_t pid = vfork();
  if (pid == 0) {
    for (int fd = 3; fd < 64; fd++) close(fd);
    execl("/bin/true", "true", (char*)NULL);
    _exit(1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  SayStatus("child", status);
  Check(fcntl(kept, F_GETFD) >= 0, "our descriptor is still open");
  close(kept);
  return 0;
}

HOST_CASE(posix_spawn_with_attributes, sigprof_itimer, fast) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  char* const arguments[] = {(char*)"sh", (char*)"-c",
                             (char*)"i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; exit 9",
                             NULL};
  pid_t pid;
  const int result = posix_spawn(&pid, "/bin/sh", NULL, &attributes, arguments, environ);
  int status = 0;
  waitpid(pid, &status, 0);
  posix_spawnattr_destroy(&attributes);
  Say("posix_spawn %d", result);
  SayStatus("child", status);
  Say("posix_spawnp of nothing: %d",
      posix_spawnp(&pid, "no-such-program", NULL, NULL, arguments, environ));
  return 0;
}

HOST_CASE(system_and_popen, preload_noise, fast) {
  SayStatus("system", system("exit 3"));
  SayStatus("system killed", system("kill -9 $$"));
  FILE* pipe = popen("echo through a pipe; exit 4", "r");
  char line[64] = "";
  if (fgets(line, sizeof line, pipe) != NULL) line[strcspn(line, "\n")] = 0;
  Say("popen: %s", line);
  SayStatus("pclose", pclose(pipe));
  FILE* sink = popen("cat >/dev/null", "w");
  fputs("hello", sink);
  SayStatus("pclose", pclose(sink));
  return 0;
}

static volatile sig_atomic_t sigchld_count;

static void CountSigchld(int sig) {
  (void)sig;
  sigchld_count++;
}

HOST_CASE(every_child_is_waited_for_once, extra_child, fast) {
  struct sigaction action = {.sa_handler = CountSigchld};
  sigaction(SIGCHLD, &action, NULL);
  int waited = 0;
  for (int i = 0; i < 10; i++) {
    int status;
    if (fork() == 0) _exit(i);
    while (wait3(&status, 0, NULL) < 0 && errno == EINTR) {
    }
    waited += WIFEXITED(status) && WEXITSTATUS(status) == i;
  }
  Say("waited for %d of 10, SIGCHLD %d", waited, (int)sigchld_count);
  Say("waitpid(-1): %d errno %d", waitpid(-1, NULL, 0), errno);
  Say("waitpid(-1, __WALL): %d errno %d", waitpid(-1, NULL, WNOHANG | __WALL), errno);
  signal(SIGCHLD, SIG_DFL);
  return 0;
}

HOST_CASE(ignored_sigchld_reaps_children, sigchld_reset, fast) {
  signal(SIGCHLD, SIG_IGN);
  if (fork() == 0) _exit(0);
  const int result = waitpid(-1, NULL, 0);
  Say("waitpid: %d errno %d", result, errno);
  return 0;
}

// fork by the raw system call: the C library's fork handlers do not run.
HOST_CASE(raw_clone_child_runs_and_forks, errno_changer, fast) {
  const long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    Burn(30);
    errno = 0;
    const int fd = open("/dev/null", O_RDONLY);
    close(fd);
    syscall(SYS_exit_group, errno == 0 && fd == 3 ? 11 : 12);
  }
  int status = 0;
  waitpid((pid_t)pid, &status, 0);
  SayStatus("raw clone child", status);
  return 0;
}

static int Daemonise(void* unused) {
  (void)unused;
  if (setsid() < 0 || fork() != 0) return 0;
  for (int fd = 0; fd < 3; fd++) close(fd);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, 1);
  dup2(null, 2);
  Burn(60);
  const int done = open("daemon.done", O_CREAT | O_WRONLY, 0600);
  dprintf(done, "null %d done %d tasks %d\n", null, done, CountHostTasks());
  close(done);
  _exit(0);
}

HOST_CASE(daemon_by_double_fork_works, thread_at_fork, fast) {
  SayStatus("first child", InChild(Daemonise, NULL));
  char line[64] = "";
  for (int i = 0; i < 400 && line[0] == 0; i++) {
    SleepMs(5);
    const int fd = open("daemon.done", O_RDONLY);
    if (fd >= 0 && read(fd, line, sizeof line - 1) < 0) line[0] = 0;
    if (fd >= 0) close(fd);
  }
  Say("daemon: %s", line);
  return 0;
}

HOST_CASE(daemon_call_works, thread_at_fork, fast) {
  if (daemon(1, 1) != 0) return 1;
  Burn(60);
  Say("daemon has %d host tasks", CountHostTasks());
  Check(setsid() == -1 && errno == EPERM, "it leads its session");
  return 0;
}
