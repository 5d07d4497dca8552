// SPDX-License-Identifier: Apache-2.0
// Threads in every kind of wait that a signal or a stop would end, while all of them are dumped a
// hundred times: none returns, and the kernel has not switched to one even once.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kDumps = 100, kAgentPort = 7663 };

static const struct timespec kLong = {1000, 0};

static struct timespec Later(clockid_t clock) {
  struct timespec until;
  clock_gettime(clock, &until);
  until.tv_sec += 1000;
  return until;
}

static long Nanosleep(void) { return nanosleep(&kLong, NULL); }
static long ClockNanosleep(void) { return -clock_nanosleep(CLOCK_MONOTONIC, 0, &kLong, NULL); }
static long Poll(void) { return poll(NULL, 0, 1000000); }
static long Ppoll(void) {
  sigset_t none;
  sigemptyset(&none);
  return ppoll(NULL, 0, &kLong, &none);
}
static long Select(void) {
  struct timeval time = {1000, 0};
  return select(0, NULL, NULL, NULL, &time);
}
static long EpollWait(void) {
  struct epoll_event event;
  return epoll_wait(epoll_create1(EPOLL_CLOEXEC), &event, 1, 1000000);
}
static long EpollWaitForEver(void) {
  struct epoll_event event;
  return epoll_wait(epoll_create1(EPOLL_CLOEXEC), &event, 1, -1);
}
static long SemTimedWait(void) {
  static sem_t semaphore;
  const struct timespec until = Later(CLOCK_REALTIME);
  return sem_timedwait(&semaphore, &until);
}
static long SigTimedWait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return sigtimedwait(&set, NULL, &kLong);
}
static int queue, semaphores;
static long MessageReceive(void) {
  struct {
    long type;
    char text[8];
  } message;
  return msgrcv(queue, &message, sizeof message.text, 0, 0);
}
static long SemOp(void) {
  struct sembuf down = {0, -1, 0};
  return semop(semaphores, &down, 1);
}
static long ReceiveWithLimit(void) {
  int pair[2];
  const struct timeval limit = {1000, 0};
  char byte;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -1;
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return recv(pair[0], &byte, 1, 0);
}
static long CondTimedWait(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  const struct timespec until = Later(CLOCK_REALTIME);
  pthread_mutex_lock(&mutex);
  return -pthread_cond_timedwait(&condition, &mutex, &until);
}
static long Pause(void) { return pause(); }

struct Wait {
  const char* name;
  long (*call)(void);
  atomic_int tid;
  atomic_int returned;
  long switches;
};

static struct Wait waits[] = {
    {.name = "nanosleep", .call = Nanosleep},
    {.name = "clock_nanosleep", .call = ClockNanosleep},
    {.name = "poll", .call = Poll},
    {.name = "ppoll", .call = Ppoll},
    {.name = "select", .call = Select},
    {.name = "epoll_wait", .call = EpollWait},
    {.name = "epoll_wait for ever", .call = EpollWaitForEver},
    {.name = "sem_timedwait", .call = SemTimedWait},
    {.name = "sigtimedwait", .call = SigTimedWait},
    {.name = "msgrcv", .call = MessageReceive},
    {.name = "semop", .call = SemOp},
    {.name = "recv with SO_RCVTIMEO", .call = ReceiveWithLimit},
    {.name = "pthread_cond_timedwait", .call = CondTimedWait},
    {.name = "pause", .call = Pause},
};
enum { kWaits = sizeof waits / sizeof waits[0] };

static void* Run(void* argument) {
  struct Wait* wait = argument;
  wait->tid = (int)syscall(SYS_gettid);
  wait->call();
  wait->returned = 1;
  return NULL;
}

// Times that the kernel has switched away from the thread, of its own will or not.
static long SwitchesOf(int tid) {
  char path[64], line[128];
  long all = 0, count;
  snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
  FILE* file = fopen(path, "r");
  if (file == NULL) return -1;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1 ||
        sscanf(line, "nonvoluntary_ctxt_switches: %ld", &count) == 1)
      all += count;
  }
  fclose(file);
  return all;
}

// One dump by HTTP. True: it was answered with all of these threads in it.
static bool Dump(void) {
  static char text[1 << 20];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kAgentPort)};
  const char request[] = "GET /debug/sonde/threads HTTP/1.0\r\nHost: localhost\r\n\r\n";
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  size_t length = 0;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr*)&address, sizeof address) == 0 &&
      send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0) {
    for (ssize_t got;
         length < sizeof text - 1 && (got = read(fd, text + length, sizeof text - 1 - length)) > 0;)
      length += (size_t)got;
  }
  close(fd);
  text[length] = 0;
  return strstr(text, "200 OK") != NULL && strstr(text, "sigtimedwait") != NULL &&
         strstr(text, "clock_nanosleep") != NULL;
}

static int DumpManyTimes(void* unused) {
  (void)unused;
  int answered = 0;
  for (int i = 0; i < kDumps; i++) answered += Dump();
  return answered;
}

HOST_CASE(dumps_wake_no_waiting_thread, tgkill_storm, fast) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  queue = msgget(IPC_PRIVATE, 0600);
  semaphores = semget(IPC_PRIVATE, 1, 0600);
  for (int i = 0; i < kWaits; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, Run, &waits[i]) != 0) return 1;
  }
  SettleAgent();
  SleepMs(500);
  for (int i = 0; i < kWaits; i++) waits[i].switches = SwitchesOf(waits[i].tid);
  const int answered = WEXITSTATUS(InChild(DumpManyTimes, NULL));
  // Where the agent serves this program, the dumps must have been made; elsewhere nobody listens.
  const bool is_target = getenv("SONDE_TARGET") != NULL && getenv("SONDE_ENABLE") == NULL;
  Check(answered == (is_target ? kDumps : 0), "dumps");
  for (int i = 0; i < kWaits; i++) {
    Say("%s: returned %d, woken %ld times", waits[i].name, waits[i].returned,
        SwitchesOf(waits[i].tid) - waits[i].switches);
  }
  msgctl(queue, IPC_RMID, NULL);
  semctl(semaphores, 0, IPC_RMID);
  _exit(0);
}
