// SPDX-License-Identifier: Apache-2.0
// A fixed amount of work, 20 frames deep, that reads its own CPU clock all the time and so sees
// what interrupts it: a sampling signal with its handler shows as a gap that a bare kernel tick
// does not have. Other processes' turns are not on this clock.
//
//   bench_cpu_cost <milliseconds of CPU time on this machine, about>
//
// Prints cpu_ns (this thread), others_ns (CPU time of the process' other threads), wall_ns, gap_ns
// (sum) and gaps.
#include <stdio.h>
#include <stdlib.h>

#include "bench/programs/clocks.h"

namespace {

constexpr uint64_t kGapNs = 3'000;  // a read takes about 500
constexpr uint64_t kReadsPerMs = 1'950;
constexpr int kDepth = 20;

struct Gaps {
  uint64_t sum_ns = 0;
  uint64_t count = 0;
};

__attribute__((noinline)) Gaps ReadClock(uint64_t reads) {
  Gaps gaps;
  uint64_t last_ns = bench::ThreadCpuNs();
  for (uint64_t i = 0; i < reads; ++i) {
    const uint64_t now_ns = bench::ThreadCpuNs();
    const uint64_t gap_ns = now_ns - last_ns;
    last_ns = now_ns;
    if (gap_ns < kGapNs) continue;
    gaps.sum_ns += gap_ns;
    ++gaps.count;
  }
  return gaps;
}

__attribute__((noinline)) Gaps Descend(int depth, uint64_t reads) {
  volatile int frame = depth;  // keeps the call from being a tail call
  Gaps gaps = depth > 0 ? Descend(depth - 1, reads) : ReadClock(reads);
  gaps.count += frame == -1 ? 1 : 0;
  return gaps;
}

}  // namespace

int main(int argc, char** argv) {
  const int milliseconds = argc > 1 ? atoi(argv[1]) : 0;
  if (milliseconds < 1) {
    fprintf(stderr, "usage: bench_cpu_cost <milliseconds, from 1>\n");
    return 2;
  }
  bench::Settle(1200);
  Descend(kDepth, 600 * kReadsPerMs);  // until an agent has met this thread
  const uint64_t wall_ns = bench::WallNs();
  const uint64_t cpu_ns = bench::ThreadCpuNs();
  const uint64_t process_ns = bench::ProcessCpuNs();
  const Gaps gaps = Descend(kDepth, static_cast<uint64_t>(milliseconds) * kReadsPerMs);
  const uint64_t used_ns = bench::ThreadCpuNs() - cpu_ns;
  const uint64_t all_ns = bench::ProcessCpuNs() - process_ns;
  printf("cpu_ns %lu\nothers_ns %lu\nwall_ns %lu\n", used_ns,
         all_ns > used_ns ? all_ns - used_ns : 0, bench::WallNs() - wall_ns);
  printf("gap_ns %lu\ngaps %lu\nthreads %d\n", gaps.sum_ns, gaps.count, bench::CountThreads());
  return 0;
}
