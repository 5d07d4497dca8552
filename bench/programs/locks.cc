// SPDX-License-Identifier: Apache-2.0
// CPU ns of a lock and its unlock that nobody else wants, of each kind; the same of a mutex by
// turns through whatever is preloaded and past it, in one process; and of a contended mutex the CPU
// time of the process per lock+unlock, two threads that hold it for a moment.
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include <thread>

#include "bench/programs/clocks.h"

namespace {

constexpr int kBlocks = 25;
constexpr int kPairs = 20'000;
constexpr int kFights = 20'000;
constexpr int kTurns = 400;
constexpr int kTurnPairs = 3'000;

pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t g_rwlock = PTHREAD_RWLOCK_INITIALIZER;
sem_t g_semaphore;
volatile unsigned g_sink;

template <typename Pair>
void Measure(const char* key, Pair pair) {
  for (int block = 0; block < kBlocks; ++block) {
    const uint64_t start_ns = bench::ThreadCpuNs();
    for (int i = 0; i < kPairs; ++i) pair();
    printf("%s %.2f\n", key, static_cast<double>(bench::ThreadCpuNs() - start_ns) / kPairs);
  }
}

// The two functions, by pointers for every way of calling, so that all are called alike.
struct MutexFunctions {
  int (*lock)(pthread_mutex_t*) = pthread_mutex_lock;
  int (*unlock)(pthread_mutex_t*) = pthread_mutex_unlock;

  static MutexFunctions OfLibc() {
    void* const libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return {reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(libc, "pthread_mutex_lock")),
            reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(libc, "pthread_mutex_unlock"))};
  }
};

__attribute__((noinline)) double PairNs(const MutexFunctions& functions, int pairs) {
  // Else the compiler calls what it knows directly, which is a jump more or less than by pointer.
  auto* volatile lock = functions.lock;
  auto* volatile unlock = functions.unlock;
  const uint64_t start_ns = bench::ThreadCpuNs();
  for (int i = 0; i < pairs; ++i) {
    lock(&g_mutex);
    unlock(&g_mutex);
  }
  return static_cast<double>(bench::ThreadCpuNs() - start_ns) / pairs;
}

// The first pairs of a turn teach the processor where the jumps go.
double TurnNs(const MutexFunctions& functions) {
  PairNs(functions, kTurnPairs / 10);
  return PairNs(functions, kTurnPairs);
}

void MeasureTurns() {
  const MutexFunctions libc = MutexFunctions::OfLibc();
  for (int turn = 0; turn < kTurns; ++turn) {
    const double direct = TurnNs(libc);
    const double hooked = TurnNs({});
    printf("direct %.3f\nhooked %.3f\n", direct, hooked);
  }
}

void* Fight(void*) {
  for (int i = 0; i < kFights; ++i) {
    pthread_mutex_lock(&g_mutex);
    for (unsigned k = 0; k < 100; ++k) g_sink = g_sink + k;
    pthread_mutex_unlock(&g_mutex);
    for (unsigned k = 0; k < 100; ++k) g_sink = k;
  }
  return nullptr;
}

void MeasureFights() {
  for (int block = 0; block < 5; ++block) {
    const uint64_t start_ns = bench::ProcessCpuNs();
    pthread_t threads[2];
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, Fight, nullptr);
    for (const pthread_t thread : threads) pthread_join(thread, nullptr);
    printf("contended %.2f\n",
           static_cast<double>(bench::ProcessCpuNs() - start_ns) / (2.0 * kFights));
  }
}

}  // namespace

int main() {
  // libc's locks are others in a process that never had two threads; services have.
  std::thread([] {}).join();
  sem_init(&g_semaphore, 0, 1);
  bench::Settle(1500);
  Measure("mutex", [] {
    pthread_mutex_lock(&g_mutex);
    pthread_mutex_unlock(&g_mutex);
  });
  Measure("rdlock", [] {
    pthread_rwlock_rdlock(&g_rwlock);
    pthread_rwlock_unlock(&g_rwlock);
  });
  Measure("semaphore", [] {
    sem_wait(&g_semaphore);
    sem_post(&g_semaphore);
  });
  MeasureTurns();
  MeasureFights();
  printf("threads %d\n", bench::CountThreads());
  return 0;
}
