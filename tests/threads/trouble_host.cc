// SPDX-License-Identifier: Apache-2.0
// A service in trouble, of the kind that its first argument names:
//   hot S         one of three threads called "worker" burns a core for S seconds, then ends
//   forked_hot S  a child process does
//   deadlock N K  N threads wait for each other's locks of kind K: pthread, recursive, std, rwlock
//   forked_deadlock N  so do N of a child process
//   ended_owner   a thread ended with a lock in its hands, another waits for it
//   readers       two readers keep a lock that a writer waits for
//   healthy       threads fight for four mutexes in the right order, thousands of times a second
// Prints "ready" (and the tid that matters), ends with stdin.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

volatile unsigned g_sink;
std::atomic<int> g_arrived{0};

double Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

__attribute__((noinline)) void BurnInnerLoop() {
  for (unsigned i = 0; i < 20'000'000; ++i) g_sink = g_sink * 31 + i;
}
__attribute__((noinline)) void HandleRequest(double until) {
  while (Now() < until) BurnInnerLoop();
  g_sink = g_sink + 1;
}

void Announce() {
  printf("ready %ld\n", syscall(SYS_gettid));
  fflush(stdout);
}

void Burn(double seconds) {
  prctl(PR_SET_NAME, "worker");
  Announce();
  HandleRequest(Now() + seconds);
}

void IdleWorker() {
  prctl(PR_SET_NAME, "worker");
  for (;;) usleep(50'000);
}

void Hot(double seconds) {
  std::thread(IdleWorker).detach();
  std::thread(Burn, seconds).detach();
  std::thread(IdleWorker).detach();
}

void ForkedHot(double seconds) {
  std::thread(IdleWorker).detach();
  usleep(1'500'000);
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Burn(seconds);
  _exit(0);
}

class Lock {
 public:
  explicit Lock(const char* kind) : kind_(kind) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (kind_ == "recursive") pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex_, &attributes);
  }
  void Take() {
    if (kind_ == "rwlock") {
      pthread_rwlock_wrlock(&rwlock_);
    } else if (kind_ == "std") {
      std_mutex_.lock();
    } else {
      pthread_mutex_lock(&mutex_);
    }
  }

 private:
  const std::string kind_;
  pthread_mutex_t mutex_;
  pthread_rwlock_t rwlock_ = PTHREAD_RWLOCK_INITIALIZER;
  std::mutex std_mutex_;
};

__attribute__((noinline)) void TakeSecondLock(Lock* lock) {
  lock->Take();
  g_sink = g_sink + 1;
}

void Deadlock(int count, const char* kind) {
  auto* locks = new std::vector<Lock*>();
  for (int i = 0; i < count; ++i) locks->push_back(new Lock(kind));
  for (int i = 0; i < count; ++i) {
    std::thread([=] {
      prctl(PR_SET_NAME, "locker");
      (*locks)[static_cast<size_t>(i)]->Take();
      ++g_arrived;
      while (g_arrived.load() < count) usleep(1000);
      TakeSecondLock((*locks)[static_cast<size_t>((i + 1) % count)]);
    }).detach();
  }
  while (g_arrived.load() < count) usleep(1000);
  Announce();
}

// The same in a child.
void ForkedDeadlock(int count) {
  std::thread(IdleWorker).detach();
  usleep(1'500'000);
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Deadlock(count, "pthread");
  for (;;) pause();
}

__attribute__((noinline)) void WaitForLockOfTheDead(pthread_mutex_t* lock) {
  pthread_mutex_lock(lock);
  g_sink = g_sink + 1;
}

// A thread ends with a lock in its hands.
void EndedOwner() {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  std::thread([] { pthread_mutex_lock(&lock); }).join();
  std::thread([] {
    prctl(PR_SET_NAME, "waiter");
    WaitForLockOfTheDead(&lock);
  }).detach();
  Announce();
}

// Two readers never let go, a writer waits.
void Readers() {
  static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  for (int i = 0; i < 2; ++i) {
    std::thread([] {
      pthread_rwlock_rdlock(&lock);
      ++g_arrived;
      IdleWorker();
    }).detach();
  }
  while (g_arrived.load() < 2) usleep(1000);
  std::thread([] {
    prctl(PR_SET_NAME, "writer");
    pthread_rwlock_wrlock(&lock);
  }).detach();
  Announce();
}

void Healthy() {
  auto* locks = new std::mutex[4];
  for (int i = 0; i < 6; ++i) {
    std::thread([=] {
      for (unsigned round = 0;; ++round) {
        const std::lock_guard<std::mutex> first(locks[round % 3]);
        const std::lock_guard<std::mutex> second(locks[3]);
        usleep(200);
      }
    }).detach();
  }
  Announce();
}

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "hot" && argc == 3) {
    Hot(atof(argv[2]));
  } else if (mode == "forked_hot" && argc == 3) {
    ForkedHot(atof(argv[2]));
  } else if (mode == "deadlock" && argc == 4) {
    Deadlock(atoi(argv[2]), argv[3]);
  } else if (mode == "forked_deadlock" && argc == 3) {
    ForkedDeadlock(atoi(argv[2]));
  } else if (mode == "ended_owner") {
    EndedOwner();
  } else if (mode == "readers") {
    Readers();
  } else if (mode == "healthy") {
    Healthy();
  } else {
    fputs(
        "expected: hot S | forked_hot S | deadlock N KIND | forked_deadlock N | ended_owner | "
        "readers | healthy\n",
        stderr);
    return 2;
  }
  while (getchar() != EOF) {
  }
  _exit(0);
}
