// SPDX-License-Identifier: Apache-2.0
// Eight threads fight for one mutex: CPU time of the process, and elapsed time, per lock and
// unlock. Each holds it for about 0.1 us and does four times as much without it, so somebody
// almost always waits.
#include <pthread.h>
#include <stdio.h>

#include "bench/programs/clocks.h"

namespace {

constexpr int kThreads = 8;
constexpr int kLocks = 60'000;  // of each thread

pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
volatile unsigned g_sink;

void* Fight(void*) {
  for (int i = 0; i < kLocks; ++i) {
    pthread_mutex_lock(&g_mutex);
    for (unsigned k = 0; k < 100; ++k) g_sink = g_sink + 1;
    pthread_mutex_unlock(&g_mutex);
    for (unsigned k = 0; k < 400; ++k) asm volatile("" : : "r"(k));
  }
  return nullptr;
}

}  // namespace

int main() {
  bench::Settle(1500);
  const uint64_t cpu_ns = bench::ProcessCpuNs();
  const uint64_t wall_ns = bench::WallNs();
  pthread_t threads[kThreads];
  for (pthread_t& thread : threads) pthread_create(&thread, nullptr, Fight, nullptr);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  constexpr double kAll = 1.0 * kThreads * kLocks;
  printf("cpu %.2f\n", static_cast<double>(bench::ProcessCpuNs() - cpu_ns) / kAll);
  printf("elapsed %.2f\n", static_cast<double>(bench::WallNs() - wall_ns) / kAll);
  return 0;
}
