// SPDX-License-Identifier: Apache-2.0
// Hosts that block in calls which a signal interrupts, beside and after CPU burning: there must be
// no EINTR.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static volatile bool burning = true;

static void* BurnBeside(void* unused) {
  while (burning) Burn(2);
  return unused;
}

enum { kRounds = 60 };

// Calls the blocking function in a loop, with a little CPU burnt between, beside a burning thread.
static void SayInterruptions(const char* label, int (*block_once)(void)) {
  pthread_t burner;
  burning = true;
  pthread_create(&burner, NULL, BurnBeside, NULL);
  int interrupted = 0;
  for (int i = 0; i < kRounds; i++) {
    errno = 0;
    block_once();
    interrupted += errno == EINTR;
    Burn(1);
  }
  burning = false;
  pthread_join(burner, NULL);
  Say("%s: %d interrupted", label, interrupted);
}

static int Poll(void) { return poll(NULL, 0, 2); }

static int Select(void) {
  struct timeval wait = {0, 2000};
  return select(0, NULL, NULL, NULL, &wait);
}

static int Nanosleep(void) {
  const struct timespec wait = {0, 2000000};
  return nanosleep(&wait, NULL);
}

static int ClockNanosleep(void) {
  const struct timespec wait = {0, 2000000};
  return errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
}

static int Usleep(void) { return usleep(2000); }

HOST_CASE(poll_and_select_are_not_interrupted, tgkill_storm, fast) {
  SayInterruptions("poll", Poll);
  SayInterruptions("select", Select);
  return 0;
}

HOST_CASE(sleeps_are_not_interrupted, tgkill_storm, fast) {
  SayInterruptions("nanosleep", Nanosleep);
  SayInterruptions("clock_nanosleep", ClockNanosleep);
  SayInterruptions("usleep", Usleep);
  return 0;
}

static int pair[2];

static int Receive(void) {
  char byte;
  return recv(pair[0], &byte, 1, 0) < 0 ? -1 : 0;
}

static int Accept(void) {
  const int fd = accept(pair[0], NULL, NULL);
  if (fd >= 0) close(fd);
  return fd;
}

HOST_CASE(sockets_with_time_limits_are_not_interrupted, tgkill_storm, fast) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  const struct timeval limit = {0, 3000};
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  SayInterruptions("recv with SO_RCVTIMEO", Receive);
  close(pair[0]);
  pair[0] = socket(AF_INET, SOCK_STREAM, 0);
  listen(pair[0], 1);
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  SayInterruptions("accept with SO_RCVTIMEO", Accept);
  return 0;
}

static sem_t semaphore;

static struct timespec In2Ms(void) {
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_nsec += 2000000;
  if (limit.tv_nsec >= 1000000000) limit.tv_sec++, limit.tv_nsec -= 1000000000;
  return limit;
}

static int SemTimedWait(void) {
  const struct timespec limit = In2Ms();
  return sem_timedwait(&semaphore, &limit);
}

HOST_CASE(sem_timedwait_is_not_interrupted, tgkill_storm, fast) {
  sem_init(&semaphore, 0, 0);
  SayInterruptions("sem_timedwait", SemTimedWait);
  return 0;
}

static int queue, semaphores;

static void* SendLater(void* unused) {
  struct {
    long type;
    char text[1];
  } message = {1, "x"};
  for (int i = 0; i < kRounds; i++) {
    SleepMs(3);
    msgsnd(queue, &message, 1, 0);
  }
  return unused;
}

static int ReceiveMessage(void) {
  struct {
    long type;
    char text[1];
  } message;
  return (int)msgrcv(queue, &message, 1, 0, 0);
}

static int SemopTimed(void) {
  struct sembuf take = {0, -1, 0};
  const struct timespec limit = {0, 2000000};
  return semtimedop(semaphores, &take, 1, &limit);
}

HOST_CASE(system_v_ipc_is_not_interrupted, tgkill_storm, fast) {
  queue = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
  semaphores = semget(IPC_PRIVATE, 1, 0600 | IPC_CREAT);
  if (queue < 0 || semaphores < 0) return 77;
  pthread_t sender;
  pthread_create(&sender, NULL, SendLater, NULL);
  SayInterruptions("msgrcv", ReceiveMessage);
  pthread_join(sender, NULL);
  SayInterruptions("semtimedop", SemopTimed);
  msgctl(queue, IPC_RMID, NULL);
  semctl(semaphores, 0, IPC_RMID);
  return 0;
}

static int EpollWait(void) {
  static int fd = -1;
  if (fd < 0) fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event;
  return epoll_wait(fd, &event, 1, 2);
}

HOST_CASE(epoll_wait_is_not_interrupted, tgkill_storm, fast) {
  SayInterruptions("epoll_wait", EpollWait);
  return 0;
}

static int pipes[2];

static void* WriteLater(void* unused) {
  for (int i = 0; i < kRounds; i++) {
    SleepMs(3);
    if (write(pipes[1], "x", 1) != 1) Say("write: FAILED");
  }
  return unused;
}

static int ReadPipe(void) {
  char byte;
  return (int)read(pipes[0], &byte, 1);
}

static int WaitChild(void) {
  if (fork() == 0) {
    SleepMs(1);
    _exit(0);
  }
  return waitpid(-1, NULL, 0);
}

HOST_CASE(read_and_wait_are_not_interrupted, tgkill_storm, fast) {
  if (pipe(pipes) != 0) return 1;
  pthread_t writer;
  pthread_create(&writer, NULL, WriteLater, NULL);
  SayInterruptions("read", ReadPipe);
  pthread_join(writer, NULL);
  SayInterruptions("waitpid", WaitChild);
  return 0;
}

// Short writes are a signal's doing too: a big write to a pipe that is read slowly is whole without
// signals.
static void* ReadSlowly(void* unused) {
  static char buffer[4096];
  while (read(pipes[0], buffer, sizeof buffer) > 0) SleepMs(1);
  return unused;
}

HOST_CASE(big_writes_are_not_cut, tgkill_storm, fast) {
  static char data[400000];
  if (pipe(pipes) != 0) return 1;
  pthread_t reader, burner;
  burning = true;
  pthread_create(&reader, NULL, ReadSlowly, NULL);
  pthread_create(&burner, NULL, BurnBeside, NULL);
  for (int i = 0; i < 3; i++) Say("wrote %zd", write(pipes[1], data, sizeof data));
  close(pipes[1]);
  burning = false;
  pthread_join(reader, NULL);
  pthread_join(burner, NULL);
  return 0;
}

// Where an argument cannot be read the kernel says so, and nobody else faults before.
HOST_CASE(bad_pointers_give_efault, pointer_follower, fast) {
  void* const bad = (void*)8;
  const struct timespec soon = {.tv_nsec = 1000};
  const int epoll = epoll_create1(0), inet = socket(AF_INET, SOCK_STREAM, 0);
  struct epoll_event event;
  sigset_t all;
  sigfillset(&all);
  Burn(100);
#define SAY_ERROR(call) Say(#call ": %s", (call) < 0 ? strerrorname_np(errno) : "done")
  SAY_ERROR(ppoll(NULL, 0, &soon, bad));
  SAY_ERROR(pselect(0, NULL, NULL, NULL, &soon, bad));
  SAY_ERROR(epoll_pwait(epoll, &event, 1, 1, bad));
  SAY_ERROR(sigsuspend(bad));
  SAY_ERROR(sigtimedwait(bad, NULL, &soon));
  SAY_ERROR(sigtimedwait(&all, NULL, bad));
  SAY_ERROR(signalfd(-1, bad, 0));
  SAY_ERROR(sigaltstack(bad, NULL));
  SAY_ERROR(bind(inet, bad, 16));
  // A set that ends where memory does: the kernel reads 8 bytes of it.
  char* const pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(pages + 4096, 4096);
  memset(pages, 0, 4096);
  SAY_ERROR(ppoll(NULL, 0, &soon, (sigset_t*)(pages + 4088)));
  SAY_ERROR(signalfd(-1, (sigset_t*)(pages + 4088), 0));
  close(epoll);
  close(inet);
  return 0;
}
