// SPDX-License-Identifier: Apache-2.0
// CPU ns of a lock and its unlock that nobody else wants, of each kind; and of a contended mutex
// the CPU time of the process per lock+unlock, two threads that hold it for a moment.
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include "bench/programs/clocks.h"

namespace {

constexpr int kBlocks = 25;
constexpr int kPairs = 20'000;
constexpr int kFights = 20'000;

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
  MeasureFights();
  printf("threads %d\n", bench::CountThreads());
  return 0;
}
