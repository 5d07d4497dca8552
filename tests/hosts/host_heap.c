// SPDX-License-Identifier: Apache-2.0
// Hosts that use the allocator in every way, early and late, and until there is no more.
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/hosts/host.h"
#include "tests/hosts/host_heap_blocks.h"

// A block whose reallocation failed is still there; g++ cannot know.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuse-after-free"
#endif

static bool Fits(void* block, size_t size, size_t alignment) {
  return block != NULL && (uintptr_t)block % alignment == 0 && malloc_usable_size(block) >= size &&
         Whole(Filled(block, size), size);
}

// One allocation of each function, each with a prime size of its own.
static int EachFunctionOnce(void) {
  int right = 0;
  void* block = malloc(1009);
  right += Fits(block, 1009, 16);
  free(block);
  block = calloc(7, 433);
  right += block != NULL && Zeroed(block, 7 * 433) && Fits(block, 7 * 433, 16);
  block = realloc(block, 5003);
  right += Fits(block, 5003, 16);
  block = reallocarray(block, 3, 2003);
  right += Fits(block, 3 * 2003, 16);
  free(block);
  block = memalign(256, 1511);
  right += Fits(block, 1511, 256);
  free(block);
  block = aligned_alloc(64, 1601);
  right += Fits(block, 1601, 64);
  free(block);
  right += posix_memalign(&block, 4096, 1709) == 0 && Fits(block, 1709, 4096);
  free(block);
  block = valloc(1801);
  right += Fits(block, 1801, (size_t)getpagesize());
  free(block);
  block = pvalloc(1901);
  right += Fits(block, 1901, (size_t)getpagesize());
  free(block);
  return right;
}

HOST_CASE(every_allocation_function, malloc_errno_changer, fast) {
  int right = 0;
  errno = EDOM;
  for (int i = 0; i < 2000; i++) right += EachFunctionOnce();
  Say("right %d of %d, errno kept: %d", right, 2000 * 9, errno == EDOM);
  return 0;
}

HOST_CASE(allocations_that_fail, realloc_loser, fast) {
  const size_t huge = Opaque(SIZE_MAX - 4096);
  int right = 0;
  for (int i = 0; i < 300; i++) {
    errno = 0;
    right += malloc(huge) == NULL && errno == ENOMEM;
    errno = 0;
    right += calloc(huge, 16) == NULL && errno == ENOMEM;
    errno = 0;
    right += calloc(Opaque(SIZE_MAX / 2), 3) == NULL && errno == ENOMEM;
    char* block = (char*)Filled(malloc(701), 701);
    errno = 0;
    right += realloc(block, huge) == NULL && errno == ENOMEM && Whole(block, 701);
    errno = 0;
    right += reallocarray(block, huge, 16) == NULL && errno == ENOMEM && Whole(block, 701);
    free(block);
    errno = 0;
    right += aligned_alloc(64, huge) == NULL && errno == ENOMEM;
    errno = 0;
    right += memalign(64, huge) == NULL && errno == ENOMEM;
    errno = EDOM;
    void* out = &right;
    right += posix_memalign(&out, 3, 64) == EINVAL && errno == EDOM && out == &right;
    right += posix_memalign(&out, 64, huge) == ENOMEM;
  }
  Say("right %d of %d", right, 300 * 9);
  return 0;
}

HOST_CASE(allocations_of_nothing, realloc_loser, fast) {
  int right = 0;
  free(NULL);
  for (int i = 0; i < 2000; i++) {
    void* a = malloc(Opaque(0));
    void* b = calloc(Opaque(0), 16);
    void* c = realloc(NULL, Opaque(0));
    right += a != NULL && b != NULL && c != NULL && a != b && b != c;
    right += realloc(a, Opaque(0)) == NULL;
    free(b);
    c = realloc(c, 48);
    memcpy(c, "what was there stays there, also when it shrinks", 48);
    c = realloc(c, 20);
    right += memcmp(c, "what was there stays", 20) == 0;
    free(c);
  }
  Say("right %d of %d", right, 2000 * 3);
  return 0;
}

// Before any constructor of a library, in constructors, and after exit.
static void* early_block;
static int early_right;

static void AllocateEarly(int argc, char** argv, char** environment) {
  (void)argc, (void)argv, (void)environment;
  early_block = Filled(aligned_alloc(64, 6007), 6007);
  void* block = calloc(1, 6011);
  early_right += block != NULL && Zeroed(block, 6011);
  free(block);
}
__attribute__((section(".preinit_array"), used)) static void (*preinit)(int, char**,
                                                                        char**) = AllocateEarly;

__attribute__((constructor(102))) static void ReallocateInConstructor(void) {
  early_right += early_block != NULL && Whole(early_block, 6007);
  early_block = Filled(realloc(early_block, 60013), 60013);
}

static void AllocateAtExit(void) {
  void* block = aligned_alloc(64, 7001);
  Say("at exit: %d", block != NULL && Whole(Filled(block, 7001), 7001));
  free(block);
}

__attribute__((destructor(101))) static void AllocateInDestructor(void) {
  void* block = aligned_alloc(64, 7013);
  Check(block != NULL, "allocation in a destructor");
  free(early_block);
  free(block);
}

HOST_CASE(allocations_early_and_late, early_breaker, fast) {
  Say("early: %d, block %d", early_right, early_block != NULL && Whole(early_block, 60013));
  atexit(AllocateAtExit);
  exit(3);
}

// A limit of address space: NULL with ENOMEM, and as good as new when memory is given back.
HOST_CASE(out_of_memory, realloc_loser, fast) {
  enum { kMost = 4096, kChunk = 1 << 20 };
  static void* chunks[kMost];
  SleepMs(1200);
  struct rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  FILE* statm = fopen("/proc/self/statm", "r");
  long pages = 0;
  if (fscanf(statm, "%ld", &pages) != 1) return 1;
  fclose(statm);
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = (rlim_t)(pages * getpagesize()) + (96u << 20);
  setrlimit(RLIMIT_AS, &limit);
  for (int round = 0; round < 3; round++) {
    int got = 0;
    errno = 0;
    while (got < kMost && (chunks[got] = malloc(kChunk)) != NULL) got++;
    const bool out = got < kMost && errno == ENOMEM;
    errno = 0;
    char* grown = (char*)realloc(chunks[0], (size_t)512 << 20);
    const bool refused = grown == NULL && errno == ENOMEM;
    for (int i = 0; i < got; i++) free(chunks[i]);
    Say("out of memory %d, more than 40 MiB before %d, realloc refused %d", out, got > 40, refused);
  }
  limit.rlim_cur = before;
  setrlimit(RLIMIT_AS, &limit);
  return 0;
}

// Mappings of the host's own, and parts of them.
HOST_CASE(mappings_come_and_go, munmap_rounder, fast) {
  int right = 0;
  const size_t size = 3 << 20;
  for (int i = 0; i < 200; i++) {
    char* map = (char*)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) break;
    map[0] = map[size - 1] = 7;
    right += munmap(map + size / 3, size / 3) == 0 && map[0] == 7 && map[size - 1] == 7;
    char* moved = (char*)mremap(map, size / 3, 2 * size, MREMAP_MAYMOVE);
    right += moved != MAP_FAILED && moved[0] == 7;
    right += munmap(moved, 2 * size) == 0;
    right += munmap(map + 2 * (size / 3), size / 3) == 0;
  }
  errno = 0;
  right += mmap(NULL, Opaque(0), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
           errno == EINVAL;
  errno = 0;
  right += munmap((void*)1, 4096) == -1 && errno == EINVAL;
  Say("right %d of %d", right, 200 * 4 + 2);
  return 0;
}
