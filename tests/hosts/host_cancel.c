// SPDX-License-Identifier: Apache-2.0
// Hosts that cancel threads in every cancellation point: the clean-up handlers must run and the
// thread must end.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static int pair[2], pipes[2], epoll, queue, listener;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static pthread_t sleeper;
static char byte;
static const struct timespec kLong = {50, 0};

static void InRead(void) { (void)!read(pipes[0], &byte, 1); }
static void InReadv(void) { (void)!readv(pipes[0], &(struct iovec){&byte, 1}, 1); }
static void InRecv(void) { recv(pair[0], &byte, 1, 0); }
static void InRecvfrom(void) { recvfrom(pair[0], &byte, 1, 0, NULL, NULL); }
static void InRecvmsg(void) {
  recvmsg(pair[0], &(struct msghdr){.msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1}, 0);
}
static void InAccept(void) { accept(listener, NULL, NULL); }
static void InAccept4(void) { accept4(listener, NULL, NULL, SOCK_CLOEXEC); }
static void InPoll(void) { poll(NULL, 0, 50000); }
static void InPpoll(void) { ppoll(NULL, 0, &kLong, NULL); }
static void InPpollWithMask(void) {
  sigset_t set;
  sigemptyset(&set);
  ppoll(NULL, 0, &kLong, &set);
}
static void InSelect(void) { select(0, NULL, NULL, NULL, &(struct timeval){50, 0}); }
static void InPselect(void) {
  sigset_t set;
  sigemptyset(&set);
  pselect(0, NULL, NULL, NULL, &kLong, &set);
}
static void InEpollWait(void) { epoll_wait(epoll, &(struct epoll_event){0}, 1, 50000); }
static void InEpollPwait(void) {
  sigset_t set;
  sigemptyset(&set);
  epoll_pwait(epoll, &(struct epoll_event){0}, 1, 50000, &set);
}
static void InEpollPwait2(void) { epoll_pwait2(epoll, &(struct epoll_event){0}, 1, &kLong, NULL); }
static void InNanosleep(void) { nanosleep(&kLong, NULL); }
static void InClockNanosleep(void) { clock_nanosleep(CLOCK_MONOTONIC, 0, &kLong, NULL); }
static void InSleep(void) { sleep(50); }
static void InUsleep(void) { usleep(900000000); }
static void InPause(void) { pause(); }
static void InSigsuspend(void) {
  sigset_t set;
  sigemptyset(&set);
  sigsuspend(&set);
}
static sigset_t UsrOnly(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGPROF);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  return set;
}
static void InSigwait(void) {
  const sigset_t set = UsrOnly();
  int sig;
  sigwait(&set, &sig);
}
static void InSigwaitinfo(void) {
  const sigset_t set = UsrOnly();
  sigwaitinfo(&set, NULL);
}
static void InSigtimedwait(void) {
  const sigset_t set = UsrOnly();
  sigtimedwait(&set, NULL, &kLong);
}
static void Unlock(void* held) { pthread_mutex_unlock(held); }
static void InCondWait(void) {
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(Unlock, &mutex);
  for (;;) pthread_cond_wait(&condition, &mutex);
  pthread_cleanup_pop(1);
}
static void InCondTimedwait(void) {
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_sec += 50;
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(Unlock, &mutex);
  for (;;) pthread_cond_timedwait(&condition, &mutex, &limit);
  pthread_cleanup_pop(1);
}
static void InSemWait(void) { sem_wait(&semaphore); }
static void InSemTimedwait(void) {
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_sec += 50;
  sem_timedwait(&semaphore, &limit);
}
static void InJoin(void) { pthread_join(sleeper, NULL); }
static void InMsgrcv(void) {
  msgrcv(queue, &(struct {
           long type;
           char text[1];
         }){0},
         1, 0, 0);
}
static void InTestcancel(void) {
  for (;;) {
    Burn(1);
    pthread_testcancel();
  }
}
static void InWaitpid(void) { waitpid(-1, NULL, 0); }
static void InOpenFifo(void) { open("fifo", O_RDONLY); }
static void Asynchronously(void) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  for (volatile unsigned spin = 0;; spin++) {
  }
}

static const struct Point {
  const char* name;
  void (*block)(void);
} kPoints[] = {{"read", InRead},
               {"readv", InReadv},
               {"recv", InRecv},
               {"recvfrom", InRecvfrom},
               {"recvmsg", InRecvmsg},
               {"accept", InAccept},
               {"accept4", InAccept4},
               {"poll", InPoll},
               {"ppoll", InPpoll},
               {"ppoll with a mask", InPpollWithMask},
               {"select", InSelect},
               {"pselect", InPselect},
               {"epoll_wait", InEpollWait},
               {"epoll_pwait", InEpollPwait},
               {"epoll_pwait2", InEpollPwait2},
               {"nanosleep", InNanosleep},
               {"clock_nanosleep", InClockNanosleep},
               {"sleep", InSleep},
               {"usleep", InUsleep},
               {"pause", InPause},
               {"sigsuspend", InSigsuspend},
               {"sigwait", InSigwait},
               {"sigwaitinfo", InSigwaitinfo},
               {"sigtimedwait", InSigtimedwait},
               {"pthread_cond_wait", InCondWait},
               {"pthread_cond_timedwait", InCondTimedwait},
               {"sem_wait", InSemWait},
               {"sem_timedwait", InSemTimedwait},
               {"pthread_join", InJoin},
               {"msgrcv", InMsgrcv},
               {"pthread_testcancel", InTestcancel},
               {"waitpid", InWaitpid},
               {"open", InOpenFifo},
               {"asynchronously", Asynchronously}};

static void MarkCleanedUp(void* mark) { *(bool*)mark = true; }

struct Victim {
  const struct Point* point;
  bool cleaned_up;
};

static void* RunVictim(void* argument) {
  struct Victim* victim = argument;
  pthread_cleanup_push(MarkCleanedUp, &victim->cleaned_up);
  Burn(2);
  victim->point->block();
  pthread_cleanup_pop(0);
  return NULL;
}

// early: the cancellation is pending before the thread gets to the call.
static void CancelIn(const struct Point* point, bool early) {
  struct Victim victim = {point, false};
  pthread_t thread;
  pthread_create(&thread, NULL, RunVictim, &victim);
  if (!early) SleepMs(6);
  pthread_cancel(thread);
  void* result = NULL;
  pthread_join(thread, &result);
  Say("%s: cancelled %d, cleaned up %d", point->name, result == PTHREAD_CANCELED,
      victim.cleaned_up);
}

static void* SleepLong(void* unused) {
  sleep(100);
  return unused;
}

static int SetUp(void) {
  sem_init(&semaphore, 0, 0);
  epoll = epoll_create1(0);
  queue = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  pthread_create(&sleeper, NULL, SleepLong, NULL);
  if (fork() == 0) {
    pause();
    _exit(0);
  }
  if (mkfifo("fifo", 0600) != 0 || queue < 0) return 77;
  return pipe(pipes) + socketpair(AF_UNIX, SOCK_STREAM, 0, pair) + listen(listener, 1);
}

static int TearDown(void) {
  msgctl(queue, IPC_RMID, NULL);
  pthread_cancel(sleeper);
  pthread_join(sleeper, NULL);
  kill(0, SIGHUP);  // ends the child; we ignore it
  while (wait(NULL) > 0) {
  }
  return 0;
}

HOST_CASE(cancel_in_every_blocking_call, noexcept_hooks, fast) {
  signal(SIGHUP, SIG_DFL);
  const int failure = SetUp();
  if (failure != 0) return failure;
  signal(SIGHUP, SIG_IGN);
  for (size_t i = 0; i < sizeof kPoints / sizeof kPoints[0]; i++) {
    CancelIn(&kPoints[i], false);
    CancelIn(&kPoints[i], true);
  }
  return TearDown();
}

static void* NotCancellable(void* unused) {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  poll(NULL, 0, 20);
  Burn(5);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  Say("lived until it allowed it");
  pthread_testcancel();
  Say("FAILED: not cancelled");
  return unused;
}

HOST_CASE(cancel_waits_until_allowed, noexcept_hooks, fast) {
  pthread_t thread;
  pthread_create(&thread, NULL, NotCancellable, NULL);
  SleepMs(3);
  pthread_cancel(thread);
  void* result = NULL;
  pthread_join(thread, &result);
  Say("cancelled %d", result == PTHREAD_CANCELED);
  CancelIn(&kPoints[7], false);
  return 0;
}

static void* CleanUpAndExit(void* mark) {
  pthread_cleanup_push(MarkCleanedUp, mark);
  Burn(5);
  pthread_exit((void*)3);
  pthread_cleanup_pop(0);
}

HOST_CASE(pthread_exit_runs_clean_up, pthread_exit_changer, fast) {
  bool cleaned_up = false;
  pthread_t thread;
  pthread_create(&thread, NULL, CleanUpAndExit, &cleaned_up);
  void* result = NULL;
  pthread_join(thread, &result);
  Say("result %d cleaned up %d", (int)(intptr_t)result, cleaned_up);
  return 0;
}
