// SPDX-License-Identifier: Apache-2.0
// A heap of many live blocks of 16 … 471 bytes, made on 2^14 call stacks; then, for each line on
// stdin, a dump of the heap by the allocator's own profiler, if it has one. Prints "objects N",
// then for each line "dump MILLISECONDS" (elapsed; −1: there is none) and "rss KIB".
// Arguments: how many blocks, and a file that jemalloc may write its dump to.
#include <dlfcn.h>
#include <gperftools/malloc_extension.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>

#include "bench/programs/clocks.h"

// Neither inlined nor merged with one that looks the same: its frame is to be on the stack.
#ifdef __clang__
#define OWN_FRAME __attribute__((noinline))
#else
#define OWN_FRAME __attribute__((noipa))
#endif

namespace {

constexpr int kTurns = 14;

void* Left(uint64_t turns, int left, size_t size);
void* Right(uint64_t turns, int left, size_t size);

OWN_FRAME void* Next(uint64_t turns, int left, size_t size) {
  void* const block = left == 0          ? malloc(size)
                      : (turns & 1) != 0 ? Left(turns >> 1, left - 1, size)
                                         : Right(turns >> 1, left - 1, size);
  asm volatile("" : : "r"(block) : "memory");
  return block;
}
OWN_FRAME void* Left(uint64_t turns, int left, size_t size) {
  void* const block = Next(turns, left, size);
  asm volatile("" : : "r"(block) : "memory");
  return block;
}
OWN_FRAME void* Right(uint64_t turns, int left, size_t size) {
  void* const block = Next(turns, left, size);
  asm volatile("" : : "r"(block), "i"(1) : "memory");
  return block;
}

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);
using Instance = MallocExtension* (*)();

// False: no allocator here samples by itself.
bool DumpByAllocator(const char* file) {
  if (const auto control = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mallctl"))) {
    return control("prof.dump", nullptr, nullptr, &file, sizeof file) == 0;
  }
  const auto instance =
      reinterpret_cast<Instance>(dlsym(RTLD_DEFAULT, "_ZN15MallocExtension8instanceEv"));
  if (instance == nullptr) return false;
  std::string text;
  instance()->GetHeapSample(&text);
  return !text.empty();
}

long RssKib() {
  long size = 0, resident = 0;
  FILE* const statm = fopen("/proc/self/statm", "r");
  if (statm == nullptr || fscanf(statm, "%ld %ld", &size, &resident) != 2) abort();
  fclose(statm);
  return resident * 4;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s BLOCKS FILE\n", argv[0]);
    return 2;
  }
  bench::Settle(1200);
  const long count = atol(argv[1]);
  uint64_t random = 88172645463325252;
  for (long i = 0; i < count; ++i) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    const size_t size = 16 + (random >> 40) % 456;
    auto* const block = static_cast<char*>(Next(random, kTurns, size));
    block[0] = block[size - 1] = 1;
  }
  printf("objects %ld\nrss %ld\n", count, RssKib());
  fflush(stdout);
  for (int c = getchar(); c != EOF; c = getchar()) {
    if (c != '\n') continue;
    const uint64_t start_ns = bench::WallNs();
    const bool done = DumpByAllocator(argv[2]);
    printf("dump %.3f\nrss %ld\n",
           done ? static_cast<double>(bench::WallNs() - start_ns) / 1e6 : -1.0, RssKib());
    fflush(stdout);
  }
  return 0;
}
