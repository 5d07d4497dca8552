// SPDX-License-Identifier: Apache-2.0
// Hosts that close everything, count their descriptors and hold locks on files.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

HOST_CASE(close_every_number, fd_leak, fast) {
  int closed = 0;
  for (int fd = 3; fd < 65536; fd++) closed += close(fd) == 0;
  Say("closed %d", closed);
  Burn(30);
  Say("next descriptor %d", open("/dev/null", O_RDONLY));
  return 0;
}

HOST_CASE(closefrom_three, fd_leak, fast) {
  Say("a descriptor %d", dup(1));
  dup2(1, 100);
  closefrom(3);
  Burn(30);
  Check(fcntl(100, F_GETFD) < 0 && errno == EBADF, "closed");
  Say("next descriptor %d", dup(1));
  return 0;
}

HOST_CASE(close_range_and_cloexec, fd_leak, fast) {
  for (int i = 0; i < 10; i++) dup(1);
  Say("cloexec: %ld", syscall(SYS_close_range, 3, ~0U, 4U));
  ReportSelf();
  Say("close: %ld", syscall(SYS_close_range, 3, ~0U, 0));
  Say("close a range by libc: %d", close_range(3, 500, 0));
  Burn(30);
  return 0;
}

static int CloseAllThenBurn(void* unused) {
  (void)unused;
  for (int fd = 0; fd < 1024; fd++) close(fd);
  Burn(40);
  const int first = open("/dev/null", O_RDWR);
  const int second = open("/dev/null", O_RDWR);
  return first * 10 + second;
}

HOST_CASE(close_stdio_too, fd_leak, fast) {
  SayStatus("first numbers 0 and 1", InChild(CloseAllThenBurn, NULL));
  return 0;
}

HOST_ROLE(started_without_stdio) {
  Burn(40);
  const int fd = open("/dev/null", O_RDWR);
  const struct rlimit enough = {16, 64};  // for looking at ourselves
  setrlimit(RLIMIT_NOFILE, &enough);
  return 50 + fd + CountHostTasks();
}

static int ExecWithoutStdio(void* unused) {
  (void)unused;
  for (int fd = 0; fd < 16; fd++) close(fd);
  ExecRole("started_without_stdio", NULL);
}

HOST_CASE(stdio_closed_at_start, fd_leak, fast) {
  SayStatus("first number", InChild(ExecWithoutStdio, NULL));
  return 0;
}

HOST_CASE(descriptor_numbers_have_no_gaps, fd_leak, fast) {
  int pipes[2], pair[2];
  if (pipe(pipes) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  Say("pipe %d %d pair %d %d", pipes[0], pipes[1], pair[0], pair[1]);
  Say("socket %d", socket(AF_INET, SOCK_STREAM, 0));
  Say("dup %d", dup(0));
  Say("fcntl dup %d", fcntl(0, F_DUPFD, 20));
  FILE* file = tmpfile();
  Say("tmpfile %d", fileno(file));
  close(pipes[0]);
  Say("reused %d", dup(0));
  return 0;
}

static int LimitOf(void* number) {
  const rlim_t files = (rlim_t) * (int*)number;
  const struct rlimit limit = {files, files};
  setrlimit(RLIMIT_NOFILE, &limit);
  Burn(40);
  const int fd = open("/dev/null", O_RDONLY);
  Say("open with %d descriptors allowed: %d errno %d", *(int*)number, fd, fd < 0 ? errno : 0);
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  Check(pid > 0 && waitpid(pid, NULL, 0) == pid, "fork");
  return 0;
}

HOST_CASE(few_descriptors_allowed, fd_leak, fast) {
  for (int number = 0; number < 6; number++) SayStatus("child", InChild(LimitOf, &number));
  return 0;
}

static int RoleWithLimit(void* number) {
  const struct rlimit limit = {(rlim_t) * (int*)number, 64};
  setrlimit(RLIMIT_NOFILE, &limit);
  ExecRole("started_without_stdio", NULL);
}

HOST_CASE(started_with_few_descriptors, fd_leak, fast) {
  // The loader itself needs one: 3 kills a bare program as well, in the same way.
  for (int number = 4; number < 7; number++)
    SayStatus("successor", InChild(RoleWithLimit, &number));
  return 0;
}

static int TryLock(void* path) {
  const int fd = open(path, O_RDWR);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(fd, F_SETLK, &lock) == 0 ? 1 : errno;
}

static int TryFlock(void* path) {
  return flock(open(path, O_RDWR), LOCK_EX | LOCK_NB) == 0 ? 1 : errno;
}

HOST_CASE(record_locks_are_kept, lock_dropper, fast) {
  const int fd = open("locked", O_CREAT | O_RDWR, 0600);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  Say("lock: %d", fcntl(fd, F_SETLK, &lock));
  Burn(50);
  if (write(fd, "data", 4) != 4) return 1;
  SleepMs(20);
  SayStatus("another process is refused with EAGAIN", InChild(TryLock, "locked"));
  Say("flock: %d", flock(fd, LOCK_EX));
  SayStatus("flock refused", InChild(TryFlock, "locked"));
  return 0;
}

// SIGPIPE keeps its meaning: a library that serves sockets likes to ignore it for the whole
// process.
static int WriteToClosedPipe(void* unused) {
  (void)unused;
  int pipes[2];
  if (pipe(pipes) != 0) return 1;
  close(pipes[0]);
  Burn(30);
  return write(pipes[1], "x", 1) == 1 ? 2 : 3;
}

HOST_CASE(sigpipe_still_kills, sigpipe_ignorer, fast) {
  SayStatus("write to a closed pipe", InChild(WriteToClosedPipe, NULL));
  return 0;
}

HOST_CASE(stdin_keeps_its_position, stdin_reader, fast) {
  const int fd = open("input", O_CREAT | O_RDWR, 0600);
  if (write(fd, "one two three", 13) != 13) return 1;
  dup2(fd, 0);
  lseek(0, 4, SEEK_SET);
  Burn(30);
  char word[8] = "";
  Say("read %zd: %s", read(0, word, 3), word);
  Say("offset %ld", (long)lseek(0, 0, SEEK_CUR));
  return 0;
}
