// SPDX-License-Identifier: Apache-2.0
// A service whose threads are made, wait and hold each other up in known ways; its first argument
// says how:
//   creators      three std::threads, two pthreads, one C11 thread and one by raw clone, after
//   3,000
//                 that came and went; all stay
//   leak MS       a thread that waits for ever every so many milliseconds, beside a pool that works
// Prints "ready" and the tid of main, ends with stdin.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

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

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "creators") {
    Creators();
  } else if (mode == "leak" && argc == 3) {
    Leak(atoi(argv[2]));
  } else {
    fputs("expected: creators | leak MS\n", stderr);
    return 2;
  }
  while (getchar() != EOF) {
  }
  _exit(0);
}
