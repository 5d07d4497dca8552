// SPDX-License-Identifier: Apache-2.0
// A fixed amount of work, 20 frames deep, that reads its own CPU clock all the time and so sees
// what interrupts it: a sampling signal with its handler shows as a gap that a bare kernel tick
// does not have. Other processes' turns are not on this clock. A gap in which a signal's frame was
// written to the stack below is told apart by the marks that it overwrote.
//
//   bench_cpu_cost <milliseconds of CPU time on this machine, about>
//
// Prints, after three seconds in which an agent starts and settles (start_others_ns: CPU time of
// the process' other threads in them), cpu_ns (this thread), others_ns, wall_ns, ticks; of all gaps
// gap_ns (sum) and gaps; of those with a signal signals and signal_ns (median); and tick_ns, what
// the kernel's tick takes alone: the median of the longest gaps without a signal, as many as there
// were ticks. (A timer's signal comes with a tick, so nearly all of its gap is the tick's.)
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "bench/programs/clocks.h"

namespace {

constexpr uint64_t kGapNs = 3'000;  // a read takes about 500
constexpr uint64_t kReadsPerMs = 1'950;
constexpr int kDepth = 20;

constexpr size_t kMostGaps = 1 << 20;

struct Gaps {
  uint64_t sum_ns = 0;
  uint64_t count = 0;
  uint64_t signals = 0;
  std::vector<uint64_t> signal_ns;
  std::vector<uint64_t> plain_ns;
};

// Marks in the stack where the kernel puts a signal's frame (2 KiB and more below the stack
// pointer; calls of this program do not reach it).
class FrameMarks {
 public:
  explicit FrameMarks(const void* frame)
      : marks_(reinterpret_cast<volatile uint64_t*>(reinterpret_cast<uintptr_t>(frame) - kBelow)) {
    Set();
  }
  bool TakeOverwritten() {
    bool overwritten = false;
    for (size_t i = 0; i < kMarks; ++i) overwritten |= marks_[i * kStride] != kMark;
    if (overwritten) Set();
    return overwritten;
  }

 private:
  static constexpr size_t kBelow = 4096;
  static constexpr size_t kMarks = 48;
  static constexpr size_t kStride = 8;
  static constexpr uint64_t kMark = 0x5ca1ab1e'0ddba11f;

  void Set() {
    for (size_t i = 0; i < kMarks; ++i) marks_[i * kStride] = kMark;
  }

  volatile uint64_t* marks_;
};

// The kernel's ticks in this much CPU time.
uint64_t TicksIn(uint64_t cpu_ns) {
  timespec resolution{};
  clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  return cpu_ns / static_cast<uint64_t>(resolution.tv_nsec);
}

void KeepLongest(std::vector<uint64_t>& values, uint64_t count) {
  std::sort(values.begin(), values.end(), std::greater<>());
  if (values.size() > count) values.resize(count);
}

uint64_t MedianOf(std::vector<uint64_t>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

__attribute__((noinline)) Gaps ReadClock(uint64_t reads) {
  Gaps gaps;
  gaps.plain_ns.reserve(kMostGaps);
  gaps.signal_ns.reserve(kMostGaps);
  FrameMarks marks(__builtin_frame_address(0));
  uint64_t last_ns = bench::ThreadCpuNs();
  for (uint64_t i = 0; i < reads; ++i) {
    const uint64_t now_ns = bench::ThreadCpuNs();
    const uint64_t gap_ns = now_ns - last_ns;
    last_ns = now_ns;
    if (gap_ns < kGapNs) continue;
    gaps.sum_ns += gap_ns;
    ++gaps.count;
    if (marks.TakeOverwritten()) {
      ++gaps.signals;
      if (gaps.signal_ns.size() < kMostGaps) gaps.signal_ns.push_back(gap_ns);
    } else if (gaps.plain_ns.size() < kMostGaps) {
      gaps.plain_ns.push_back(gap_ns);
    }
    last_ns = bench::ThreadCpuNs();
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
  Descend(kDepth, 1800 * kReadsPerMs);  // until an agent has met this thread and looks less often
  const uint64_t start_others_ns = bench::ProcessCpuNs() - bench::ThreadCpuNs();
  const uint64_t wall_ns = bench::WallNs();
  const uint64_t cpu_ns = bench::ThreadCpuNs();
  const uint64_t process_ns = bench::ProcessCpuNs();
  Gaps gaps = Descend(kDepth, static_cast<uint64_t>(milliseconds) * kReadsPerMs);
  const uint64_t used_ns = bench::ThreadCpuNs() - cpu_ns;
  const uint64_t all_ns = bench::ProcessCpuNs() - process_ns;
  printf("start_others_ns %lu\n", start_others_ns);
  printf("cpu_ns %lu\nothers_ns %lu\nwall_ns %lu\n", used_ns,
         all_ns > used_ns ? all_ns - used_ns : 0, bench::WallNs() - wall_ns);
  printf("gap_ns %lu\ngaps %lu\nthreads %d\n", gaps.sum_ns, gaps.count, bench::CountThreads());
  const uint64_t ticks = TicksIn(used_ns);
  KeepLongest(gaps.plain_ns, ticks > gaps.signals ? ticks - gaps.signals : 0);
  printf("ticks %lu\nsignals %lu\nsignal_ns %lu\ntick_ns %lu\n", ticks, gaps.signals,
         MedianOf(gaps.signal_ns), MedianOf(gaps.plain_ns));
  return 0;
}
