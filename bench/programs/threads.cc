// SPDX-License-Identifier: Apache-2.0
// CPU time of the whole process per pthread_create + pthread_join of a thread that does nothing:
// "early" while an agent has just met this process, "steady" after seconds of it, when an agent may
// have learnt that threads here are short-lived.
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "bench/programs/clocks.h"

namespace {

constexpr int kPairs = 400;
constexpr uint64_t kMs = 1'000'000;

void* Nothing(void*) { return nullptr; }

bool RunPairs() {
  for (int i = 0; i < kPairs; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, Nothing, nullptr) != 0) return false;
    pthread_join(thread, nullptr);
  }
  return true;
}

bool Measure(const char* key, uint64_t until_ns) {
  while (bench::WallNs() < until_ns) {
    const uint64_t start_ns = bench::ProcessCpuNs();
    if (!RunPairs()) return false;
    const uint64_t used_ns = bench::ProcessCpuNs() - start_ns;
    if (key != nullptr) printf("%s %.1f\n", key, static_cast<double>(used_ns) / kPairs);
  }
  return true;
}

}  // namespace

int main() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
  bench::Settle(1200);
  const uint64_t start_ns = bench::WallNs();
  const bool ran = Measure("early", start_ns + 300 * kMs) &&
                   Measure(nullptr, start_ns + 4000 * kMs) &&
                   Measure("steady", start_ns + 4500 * kMs);
  printf("threads %d\n", bench::CountThreads());
  if (!ran) perror("pthread_create");
  return ran ? 0 : 1;
}
