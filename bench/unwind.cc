// SPDX-License-Identifier: Apache-2.0
// Nanoseconds a frame for walking one's own stack: Sonde's tables beside libunwind, glibc and frame
// pointers, at three depths, hot (back to back) and cold (twice the third-level cache of other
// memory written in between). All walkers run in turn on the same stack, so that a slow phase of
// the machine hits them all.
//
//   bench_unwind [rounds]
#define UNW_LOCAL_ONLY
#include "collectors/safe/unwind.h"

#include <dlfcn.h>
#include <libunwind.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "collectors/stack_layout.h"
#include "collectors/unwind_tables.h"

namespace {

#define NOINLINE __attribute__((noinline, noclone))
// The measuring frames keep one, so that the chain of frame pointers reaches the walker.
#define KEEPS_FRAME_POINTER __attribute__((noinline, optimize("no-omit-frame-pointer")))

constexpr uint32_t kMaxFrames = 256;
constexpr size_t kLeastEvictBytes = size_t{64} << 20;
constexpr int kDepths[] = {10, 40, 100};

sonde::UnwindPublication g_publication;
sonde::StackBounds g_bounds;
void* g_frames[kMaxFrames];
int (*g_glibc_backtrace)(void**, int);

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t ReadClock() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Twice the third-level cache that this processor's cores share: no replacement policy keeps
// anything through that. sysconf will not do: on some processors it adds up all such caches.
size_t EvictBytes() {
  unsigned long kib = 0;
  FILE* const file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re");
  if (file != nullptr && fscanf(file, "%luK", &kib) != 1) kib = 0;
  if (file != nullptr) fclose(file);
  return std::max(kLeastEvictBytes, size_t{2} * kib * 1024);
}

uint32_t Sonde(sonde::StackBounds bounds) {
  sonde::Registers registers;
  sonde::CaptureRegisters(&registers);
  return sonde::WalkStack(g_publication, registers, bounds, reinterpret_cast<uint64_t*>(g_frames),
                          kMaxFrames)
      .depth;
}
// As hooks walk: what is behind the page of the caller's frame has to be asked for.
NOINLINE uint32_t SondeAsInHooks() {
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  sonde::StackBounds bounds = sonde::BoundsForWalk(here);
  bounds.written = here;
  return Sonde(bounds);
}
NOINLINE uint32_t SondeReadableBounds() { return Sonde(g_bounds); }
NOINLINE uint32_t SondeUnknownBounds() { return Sonde({}); }

NOINLINE uint32_t UnwBacktrace() {
  return static_cast<uint32_t>(unw_backtrace(g_frames, kMaxFrames));
}

NOINLINE uint32_t UnwStep() {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  unw_init_local(&cursor, &context);
  uint32_t depth = 0;
  do {
    unw_word_t pc;
    unw_get_reg(&cursor, UNW_REG_IP, &pc);
    g_frames[depth++] = reinterpret_cast<void*>(pc);
  } while (depth < kMaxFrames && unw_step(&cursor) > 0);
  return depth;
}

NOINLINE uint32_t GlibcBacktrace() {
  return static_cast<uint32_t>(g_glibc_backtrace(g_frames, kMaxFrames));
}

// What a walk by frame pointers costs at best: no check but the end of the stack.
NOINLINE __attribute__((optimize("no-omit-frame-pointer"))) uint32_t FramePointers() {
  auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  uint32_t depth = 0;
  while (depth < kMaxFrames && frame < g_bounds.high - 16 && frame > g_bounds.low) {
    const auto* words = reinterpret_cast<const uintptr_t*>(frame);
    g_frames[depth++] = reinterpret_cast<void*>(words[1]);
    if (words[0] <= frame) break;
    frame = words[0];
  }
  return depth;
}

struct Walker {
  const char* name;
  uint32_t (*walk)();
  bool by_frame_pointer;
};
constexpr Walker kWalkers[] = {
    {"sonde", SondeAsInHooks, false},
    {"sonde, no probes", SondeReadableBounds, false},
    {"sonde, bounds unknown", SondeUnknownBounds, false},
    {"libunwind unw_backtrace", UnwBacktrace, false},
    {"libunwind unw_step", UnwStep, false},
    {"glibc backtrace", GlibcBacktrace, false},
    {"frame pointers", FramePointers, true},
};

struct Result {
  std::vector<double> hot_ns, cold_ns;  // per walk
  uint32_t frames = 0;
};

class Bench {
 public:
  explicit Bench(int rounds) : rounds_(rounds), evict_(EvictBytes()) {}

  KEEPS_FRAME_POINTER void RunWalkers(bool by_frame_pointer) {
    for (int round = 0; round < rounds_; ++round) {
      for (size_t i = 0; i < std::size(kWalkers); ++i) {
        if (kWalkers[i].by_frame_pointer == by_frame_pointer) Measure(kWalkers[i], &results_[i]);
      }
    }
  }

  void Print(int depth) {
    for (size_t i = 0; i < std::size(kWalkers); ++i) {
      const Result& result = results_[i];
      printf("| %-24s | %5d | %6u | %8.1f | %8.1f |\n", kWalkers[i].name, depth, result.frames,
             Median(result.hot_ns) / result.frames, Median(result.cold_ns) / result.frames);
      results_[i] = Result();
    }
  }

 private:
  KEEPS_FRAME_POINTER void Measure(const Walker& walker, Result* result) {
    constexpr int kHotWalks = 200, kColdWalks = 4;
    result->frames = walker.walk();
    const uint64_t start = NowNs();
    for (int i = 0; i < kHotWalks; ++i) walker.walk();
    result->hot_ns.push_back(static_cast<double>(NowNs() - start) / kHotWalks);
    for (int i = 0; i < kColdWalks; ++i) result->cold_ns.push_back(ColdWalk(walker));
  }

  KEEPS_FRAME_POINTER double ColdWalk(const Walker& walker) {
    uint64_t sum = 0;
    for (size_t i = 0; i < evict_.size(); i += 64) sum += evict_[i]++;
    sink_ = sum;
    const uint64_t before = ReadClock();
    const uint64_t start = ReadClock();  // start - before: what reading the clock costs
    walker.walk();
    return static_cast<double>(ReadClock() - start) - static_cast<double>(start - before);
  }

  static double Median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
  }

  const int rounds_;
  std::vector<uint8_t> evict_;
  volatile uint64_t sink_ = 0;
  Result results_[std::size(kWalkers)];
};

Bench* g_bench;

// A hundred functions with different frames, so that each depth has its own row.
template <int kLevel, bool kFramePointer>
struct Chain {
  static NOINLINE uint64_t Call(int depth, uint64_t value) {
    volatile uint64_t pad[kLevel % 7 + 1];
    pad[0] = value;
    uint64_t result = 1;
    if constexpr (kLevel > 0) {
      if (depth > 0) result = Chain<kLevel - 1, kFramePointer>::Call(depth - 1, value ^ kLevel);
    }
    if (depth == 0) g_bench->RunWalkers(kFramePointer);
    return result + pad[0];
  }
};

template <int kLevel>
struct Chain<kLevel, true> {
  static NOINLINE __attribute__((optimize("no-omit-frame-pointer"))) uint64_t Call(int depth,
                                                                                   uint64_t value) {
    volatile uint64_t pad[kLevel % 7 + 1];
    pad[0] = value;
    uint64_t result = 1;
    if constexpr (kLevel > 0) {
      if (depth > 0) result = Chain<kLevel - 1, true>::Call(depth - 1, value ^ kLevel);
    }
    if (depth == 0) g_bench->RunWalkers(true);
    return result + pad[0];
  }
};

sonde::StackBounds OwnBounds() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uintptr_t>(low), reinterpret_cast<uintptr_t>(low) + size,
          /*readable=*/true};
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 25;
  if (rounds < 1) {
    fprintf(stderr, "rounds: expected a number from 1, got '%s'\n", argv[1]);
    return 2;
  }
  // libunwind exports a backtrace of its own and would win by link order.
  void* const libc = dlopen("libc.so.6", RTLD_LAZY);
  g_glibc_backtrace = reinterpret_cast<int (*)(void**, int)>(dlsym(libc, "backtrace"));
  g_bounds = OwnBounds();
  sonde::SetStackLayout(sonde::FindStackLayout(sonde::ProcessMemory()));
  sonde::UnwindTables tables(g_publication, sonde::kDefaultUnwindBudgetBytes);
  const uint64_t start = NowNs();
  tables.Refresh();
  const auto built_us = static_cast<unsigned>((NowNs() - start) / 1000);
  size_t rows = 0;
  for (const auto& module : tables.Status().modules) rows += module.counts.rows;
  printf("%zu modules, %zu rows, %zu KiB, built in %u us\n\n", tables.Status().modules.size(), rows,
         tables.Status().bytes / 1024, built_us);
  Bench bench(rounds);
  g_bench = &bench;
  printf("| %-24s | depth | frames | hot ns/f | cold ns/f |\n", "walker");
  for (const int depth : kDepths) {
    Chain<100, false>::Call(depth - 5, 1);
    Chain<100, true>::Call(depth - 5, 1);
    bench.Print(depth);
  }
  return 0;
}
