// SPDX-License-Identifier: Apache-2.0
// What a malloc + free pair costs: hot (the block that was just freed), and in a working set of
// 100,000 live blocks of 16 … 271 bytes, of which a random one is replaced. CPU ns a pair of the
// measuring thread, with one thread and with two. Arguments: the number of threads, and "hot" for
// the first of the two only, or "paired" for the second by two ways in turn: as every program calls
// malloc, so through whatever is preloaded, and libc's own past it. Both change the same blocks, so
// where those lie, which decides more than anything else, does not matter.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/programs/clocks.h"

namespace {

constexpr int kBlocks = 9;
constexpr int kHotPairs = 400'000;
constexpr int kSetPairs = 120'000;
constexpr uint32_t kLive = 100'000;
constexpr int kPairedBlocks = 60;
constexpr int kPairedPairs = 20'000;
constexpr int kSingleCalls = 200'000;

struct Random {
  uint64_t state;
  uint64_t Next() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};

void Escape(void* block) { asm volatile("" : : "r"(block) : "memory"); }

double HotPair() {
  const uint64_t start_ns = bench::ThreadCpuNs();
  for (int i = 0; i < kHotPairs; ++i) {
    void* const block = malloc(64);
    Escape(block);
    free(block);
  }
  return static_cast<double>(bench::ThreadCpuNs() - start_ns) / kHotPairs;
}

// The two functions, by pointers for every way of calling, so that all are called alike.
struct Allocator {
  void* (*allocate)(size_t) = malloc;
  void (*release)(void*) = free;

  static Allocator OfLibc() {
    void* const libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return {reinterpret_cast<void* (*)(size_t)>(dlsym(libc, "malloc")),
            reinterpret_cast<void (*)(void*)>(dlsym(libc, "free"))};
  }
};

class WorkingSet {
 public:
  explicit WorkingSet(uint64_t seed) : random_{seed} {
    for (void*& block : live_) block = malloc(16 + random_.Next() % 256);
  }
  ~WorkingSet() {
    for (void* block : live_) free(block);
  }
  WorkingSet(const WorkingSet&) = delete;
  WorkingSet& operator=(const WorkingSet&) = delete;

  double Pair(const Allocator& by = {}, int pairs = kSetPairs) {
    const uint64_t start_ns = bench::ThreadCpuNs();
    for (int i = 0; i < pairs; ++i) {
      const uint64_t word = random_.Next();
      void*& block = live_[(word & 0xffffffff) * kLive >> 32];
      by.release(block);
      block = by.allocate(16 + (word >> 56));
    }
    return static_cast<double>(bench::ThreadCpuNs() - start_ns) / pairs;
  }

 private:
  Random random_;
  std::vector<void*> live_ = std::vector<void*>(kLive);
};

// The slow end: elapsed time of single calls.
void SingleCalls() {
  std::vector<uint64_t> ns(kSingleCalls);
  for (uint64_t& call : ns) {
    const uint64_t start_ns = bench::WallNs();
    void* const block = malloc(256);
    call = bench::WallNs() - start_ns;
    Escape(block);
    free(block);
  }
  std::sort(ns.begin(), ns.end());
  printf("single_p50 %llu\n", static_cast<unsigned long long>(ns[ns.size() / 2]));
  printf("single_p999 %llu\n", static_cast<unsigned long long>(ns[ns.size() - ns.size() / 1000]));
}

void MeasureHot() {
  for (int block = 0; block < kBlocks; ++block) printf("hot %.3f\n", HotPair());
}

void MeasurePaired(uint64_t seed, bool print) {
  const Allocator libc = Allocator::OfLibc();
  WorkingSet set(seed);
  set.Pair();
  for (int i = 0; i < kPairedBlocks; ++i) {
    const double direct = set.Pair(libc, kPairedPairs);
    const double hooked = set.Pair({}, kPairedPairs);
    if (print) printf("direct %.3f\nhooked %.3f\n", direct, hooked);
  }
}

void Measure(uint64_t seed, bool print) {
  WorkingSet set(seed);
  for (int block = 0; block < kBlocks; ++block) {
    const double hot = HotPair();
    const double in_set = set.Pair();
    if (print) printf("hot %.3f\nset %.3f\n", hot, in_set);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1;
  // libc's malloc is another one in a process that never had two threads; services have.
  std::thread([] {}).join();
  bench::Settle(600);
  const std::string_view what = argc > 2 ? argv[2] : "";
  if (what == "hot") {
    MeasureHot();
    return 0;
  }
  const auto measure = what == "paired" ? MeasurePaired : Measure;
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i)
    others.emplace_back(measure, 7777u + static_cast<unsigned>(i), false);
  measure(42, true);
  for (std::thread& other : others) other.join();
  if (threads == 1 && what.empty()) SingleCalls();
  return 0;
}
