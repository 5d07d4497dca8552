// SPDX-License-Identifier: Apache-2.0
// What libc and libstdc++ do faster while a process has one thread: getc, a copy of a shared_ptr,
// malloc + free of 4 KiB. CPU ns a call; "threads" tells whether somebody made a second one.
#include <stdio.h>
#include <stdlib.h>

#include <memory>

#include "bench/programs/clocks.h"

namespace {

constexpr int kBlocks = 15;
constexpr int kCalls = 200'000;

volatile uintptr_t g_sink;

struct Getc {
  FILE* file = fopen("/dev/zero", "r");
  void operator()() { g_sink = static_cast<uintptr_t>(getc(file)); }
};

struct CopySharedPtr {
  std::shared_ptr<int> pointer = std::make_shared<int>(7);
  __attribute__((noinline)) void operator()() {
    const std::shared_ptr<int> copy = pointer;
    g_sink = reinterpret_cast<uintptr_t>(copy.get());
  }
};

struct Malloc4KiB {
  void operator()() {
    void* const block = malloc(4096);
    g_sink = reinterpret_cast<uintptr_t>(block);
    free(block);
  }
};

template <typename Call>
void Measure(const char* key, Call call) {
  for (int block = 0; block < kBlocks; ++block) {
    const uint64_t start_ns = bench::ThreadCpuNs();
    for (int i = 0; i < kCalls; ++i) call();
    printf("%s %.3f\n", key, static_cast<double>(bench::ThreadCpuNs() - start_ns) / kCalls);
  }
}

}  // namespace

int main() {
  bench::Settle(1200);
  Measure("getc", Getc());
  Measure("shared_ptr", CopySharedPtr());
  Measure("malloc", Malloc4KiB());
  printf("threads %d\n", bench::CountThreads());
  return 0;
}
