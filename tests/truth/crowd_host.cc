// SPDX-License-Identifier: Apache-2.0
// A program with far more sampled blocks alive than the agent has room for, on four call sites.
// Each line on stdin lets it do the next thing: allocate all, in a few hundred milliseconds; free
// every block but those of one site; free these too. It answers with the bytes that are alive by
// then on each site, "site N BYTES", and "ready"; it ends with stdin.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#ifdef __clang__
#define OWN_FRAME __attribute__((noinline))
#else
#define OWN_FRAME __attribute__((noipa))
#endif

namespace {

struct Site {
  int blocks;
  size_t size;
};
constexpr Site kSites[] = {{300'000, 64}, {20'000, 640}, {100, 100'000}, {30'000, 64}};
constexpr int kStays = 1, kGoesAtOnce = 3;

std::vector<void*> g_blocks[std::size(kSites)];

// One symbol a site: the test finds the site of a stack by it.
template <int kSite>
OWN_FRAME void* At() {
  void* const block = malloc(kSites[kSite].size);
  asm volatile("" : : "r"(block), "i"(kSite) : "memory");
  return block;
}

void Free(int site) {
  for (void* block : g_blocks[site]) free(block);
  g_blocks[site].clear();
}

template <int kSite>
void Allocate() {
  g_blocks[kSite].reserve(kSites[kSite].blocks);
  for (int i = 0; i < kSites[kSite].blocks; ++i) g_blocks[kSite].push_back(At<kSite>());
}

void AllocateAll() {
  Allocate<0>();
  Allocate<1>();
  Allocate<2>();
  Allocate<3>();
  Free(kGoesAtOnce);
}

void Tell() {
  for (size_t site = 0; site < std::size(kSites); ++site) {
    printf("site %zu %zu\n", site, g_blocks[site].size() * kSites[site].size);
  }
  puts("ready");
  fflush(stdout);
}

}  // namespace

int main() {
  char line[16];
  for (int step = 0; fgets(line, sizeof line, stdin) != nullptr; ++step) {
    if (step == 0) AllocateAll();
    if (step == 1) Free(0), Free(2);
    if (step == 2) Free(kStays);
    Tell();
  }
  return 0;
}
