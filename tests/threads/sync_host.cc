// SPDX-License-Identifier: Apache-2.0
// A service whose threads are made, wait and hold each other up in known ways; its first argument
// says how:
//   creators      three std::threads, two pthreads, one C11 thread and one by raw clone, after
//   3,000
//                 that came and went; all stay
//   leak MS       a thread that waits for ever every so many milliseconds, beside a pool that works
//   forked_leak MS  three children: two do so, and are alike; one only makes threads that end
//   contend       a std::mutex that is held for 800 us at a time and a std::shared_mutex that is
//   held
//                 for 200 us, each with two threads that wait for it and measure how long; beside
//                 them waits for a condition, a semaphore and a join. For each line on stdin prints
//                 the nanoseconds that were waited so far for the two locks
//   hold          a thread waits for a mutex that main holds for good, one of a forked child for
//   its
//                 copy of it; others wait for a condition, a semaphore and a thread that do not
//                 come, and one for a lock that main gives back at the first line on stdin
//   wall          one thread sleeps, one burns half of its time, one waits for a mutex for ever
// Prints "ready" and the tid of main, ends with stdin.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

volatile int g_sink;

void WaitForEver() {
  for (;;) pause();
}
void* PthreadMain(void*) {
  WaitForEver();
  return nullptr;
}
int C11Main(void*) {
  WaitForEver();
  return 0;
}
int CloneMain(void*) {
  for (;;) syscall(SYS_pause);
}

__attribute__((noinline)) void MakeWorkers() {
  for (int i = 0; i < 3; ++i) std::thread(WaitForEver).detach();
  g_sink = 1;
}
__attribute__((noinline)) void MakeEarlyOnes() {
  for (int i = 0; i < 3; ++i) std::thread(WaitForEver).detach();
  g_sink = 9;
}
__attribute__((noinline)) void MakePthreads() {
  for (int i = 0; i < 2; ++i) {
    pthread_t thread;
    pthread_create(&thread, nullptr, PthreadMain, nullptr);
  }
  g_sink = 2;
}
__attribute__((noinline)) void MakeC11Thread() {
  thrd_t thread;
  thrd_create(&thread, C11Main, nullptr);
  g_sink = 3;
}
__attribute__((noinline)) void MakeRawThread() {
  constexpr size_t kStack = 64 << 10;
  char* stack = static_cast<char*>(
      mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  clone(CloneMain, stack + kStack,
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, nullptr);
  g_sink = 4;
}
__attribute__((noinline)) void MakeShortLived() {
  for (int i = 0; i < 3000; ++i) std::thread([] { g_sink = 5; }).join();
  g_sink = 6;
}

void Announce() {
  printf("ready %ld\n", syscall(SYS_gettid));
  fflush(stdout);
}

// The agent takes notes from when it is there: 1.5 s is what it may take.
void Creators() {
  MakeEarlyOnes();
  usleep(1'500'000);
  MakeWorkers();
  MakePthreads();
  MakeC11Thread();
  MakeRawThread();
  MakeShortLived();
  Announce();
}

__attribute__((noinline)) void AcceptAndForget() {
  std::thread(WaitForEver).detach();
  g_sink = 7;
}
__attribute__((noinline)) void ServeAndEnd() {
  std::thread([] { usleep(100'000); }).detach();
  g_sink = 8;
}

void Leak(int every_ms) {
  std::thread([=] {
    for (;;) {
      AcceptAndForget();
      ServeAndEnd();
      usleep(static_cast<unsigned>(every_ms) * 1000);
    }
  }).detach();
  Announce();
}

// Prints "ready" once for all.
void ForkedLeak(int every_ms) {
  for (const bool leaks : {true, true, false}) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      if (leaks) AcceptAndForget();
      ServeAndEnd();
      usleep(static_cast<unsigned>(every_ms) * 1000);
    }
  }
  Announce();
}

std::mutex g_big;
std::shared_mutex g_small;
std::atomic<uint64_t> g_waited_big{0}, g_waited_small{0};
sem_t g_semaphore;

__attribute__((noinline)) void HoldBigLock() {
  const std::lock_guard<std::mutex> held(g_big);
  usleep(800);
}
__attribute__((noinline)) void HoldSmallLock() {
  const std::unique_lock<std::shared_mutex> held(g_small);
  usleep(200);
}
template <typename Lock>
void MeasureWait(std::atomic<uint64_t>* sum, Lock lock) {
  const auto begin = std::chrono::steady_clock::now();
  lock();
  *sum += static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
}
__attribute__((noinline)) void WaitForBigLock() {
  MeasureWait(&g_waited_big, [] { g_big.lock(); });
  g_big.unlock();
}
__attribute__((noinline)) void WaitForSmallLock() {
  MeasureWait(&g_waited_small, [] { g_small.lock_shared(); });
  g_small.unlock_shared();
}
__attribute__((noinline)) void WaitForCondition() {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock<std::mutex> held(mutex);
  never.wait_for(held, std::chrono::milliseconds(50));
}
__attribute__((noinline)) void WaitForSemaphore() {
  timespec until{};
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 20'000'000;
  if (until.tv_nsec >= 1'000'000'000) ++until.tv_sec, until.tv_nsec -= 1'000'000'000;
  sem_timedwait(&g_semaphore, &until);
}
__attribute__((noinline)) void JoinAThread() {
  std::thread([] { usleep(30'000); }).join();
  g_sink = 10;
}
void ForEver(void (*step)(), unsigned pause_us) {
  std::thread([=] {
    for (;;) {
      step();
      usleep(pause_us);
    }
  }).detach();
}

void Contend() {
  sem_init(&g_semaphore, 0, 0);
  ForEver(HoldBigLock, 1000);
  ForEver(HoldSmallLock, 1600);
  for (int i = 0; i < 2; ++i) {
    ForEver(WaitForBigLock, 300);
    ForEver(WaitForSmallLock, 300);
  }
  ForEver(WaitForCondition, 1000);
  ForEver(WaitForSemaphore, 1000);
  ForEver(JoinAThread, 1000);
  Announce();
}

__attribute__((noinline)) void BurnHere() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (std::chrono::steady_clock::now() < end) g_sink = g_sink + 1;
}
__attribute__((noinline)) void SleepHere() {
  usleep(100'000);
  g_sink = 11;
}
__attribute__((noinline)) void WaitHereForEver() {
  g_big.lock();
  g_sink = 12;
}

void RunWall() {
  g_big.lock();
  std::thread([] {
    prctl(PR_SET_NAME, "half");
    for (;;) BurnHere(), SleepHere();
  }).detach();
  std::thread([] {
    prctl(PR_SET_NAME, "stuck");
    WaitHereForEver();
  }).detach();
  Announce();
}

__attribute__((noinline)) void WaitForGoodCondition() {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock<std::mutex> held(mutex);
  never.wait(held);
}
__attribute__((noinline)) void WaitForGoodSemaphore() {
  sem_wait(&g_semaphore);
  g_sink = 13;
}
__attribute__((noinline)) void JoinForGood() {
  std::thread(WaitForEver).join();
  g_sink = 14;
}

__attribute__((noinline)) void WaitInChild() {
  g_big.lock();
  g_sink = 15;
}

bool g_holds_small = false;
void Hold() {
  sem_init(&g_semaphore, 0, 0);
  g_big.lock();
  g_small.lock();
  g_holds_small = true;
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::thread(WaitInChild).join();
  }
  for (void (*wait)() : {WaitHereForEver, WaitForSmallLock, WaitForGoodCondition,
                         WaitForGoodSemaphore, JoinForGood}) {
    std::thread(wait).detach();
  }
  Announce();
}

// Two children: one waits all the time, one half of it. This process only waits for its input.
void RunChildren() {
  for (void (*work)() : {+[] { WaitHereForEver(); },
                         +[] {
                           for (;;) BurnHere(), SleepHere();
                         }}) {
    g_big.try_lock();
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    work();
  }
  Announce();
}

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "creators") {
    Creators();
  } else if (mode == "leak" && argc == 3) {
    Leak(atoi(argv[2]));
  } else if (mode == "forked_leak" && argc == 3) {
    ForkedLeak(atoi(argv[2]));
  } else if (mode == "contend") {
    Contend();
  } else if (mode == "hold") {
    Hold();
  } else if (mode == "wall") {
    RunWall();
  } else if (mode == "children") {
    RunChildren();
  } else {
    fputs("expected: creators | leak MS | forked_leak MS | contend | hold | wall | children\n",
          stderr);
    return 2;
  }
  for (int c = getchar(); c != EOF; c = getchar()) {
    if (c != '\n') continue;
    if (g_holds_small) {
      g_holds_small = false;
      g_small.unlock();
      usleep(100'000);
    }
    printf("waited %lu %lu\n", g_waited_big.load(), g_waited_small.load());
    fflush(stdout);
  }
  _exit(0);
}
