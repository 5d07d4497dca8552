// SPDX-License-Identifier: Apache-2.0
// Waits until its agent samples ("go" on stdin), then maps memory of its own beside blocks of its
// allocator, large and small, and waits for the end of stdin.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kMiB = 1 << 20, kLarge = 40, kSmall = 100000 };

static char* Map(void* where, size_t bytes, int protection, int flags) {
  void* mapping = mmap(where, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (mapping == MAP_FAILED) abort();
  return (char*)mapping;
}

// 24 MiB mapped, 12 of them in memory.
__attribute__((noinline)) static void PoolOfTheService(void) {
  memset(Map(NULL, 24 * kMiB, PROT_READ | PROT_WRITE, 0), 1, 12 * kMiB);
}

// 20 MiB, of which 5 in the middle and 3 at the end are given back.
__attribute__((noinline)) static void PoolThatShrinks(void) {
  char* pool = Map(NULL, 20 * kMiB, PROT_READ | PROT_WRITE, 0);
  memset(pool, 1, 20 * kMiB);
  munmap(pool + 8 * kMiB, 5 * kMiB);
  munmap(pool + 17 * kMiB, 3 * kMiB);
}

// 1 GiB is set aside, 6 MiB of it are used.
__attribute__((noinline)) static void PoolWithAReserve(void) {
  char* reserve = Map(NULL, 1024 * (size_t)kMiB, PROT_NONE, MAP_NORESERVE);
  memset(Map(reserve + 32 * kMiB, 6 * kMiB, PROT_READ | PROT_WRITE, MAP_FIXED), 1, 6 * kMiB);
}

// From 2 MiB to 9.
__attribute__((noinline)) static void PoolThatGrows(void) {
  char* pool = Map(NULL, 2 * kMiB, PROT_READ | PROT_WRITE, 0);
  pool = (char*)mremap(pool, 2 * kMiB, 9 * kMiB, MREMAP_MAYMOVE);
  memset(pool, 1, 9 * kMiB);
}

// All of it gone again: one pool by munmap, one under another mapping that nobody may use.
__attribute__((noinline)) static void PoolThatEnds(void) {
  munmap(Map(NULL, 16 * kMiB, PROT_READ | PROT_WRITE, 0), 16 * kMiB);
  char* pool = Map(NULL, 16 * kMiB, PROT_READ | PROT_WRITE, 0);
  Map(pool, 16 * kMiB, PROT_NONE, MAP_FIXED | MAP_NORESERVE);
}

static void* blocks[kLarge + kSmall];

__attribute__((noinline)) static void BlocksOfTheAllocator(void) {
  for (int i = 0; i < kLarge; i++) blocks[i] = memset(malloc(kMiB), 1, kMiB);
  for (int i = kLarge; i < kLarge + kSmall; i++) blocks[i] = memset(malloc(200), 1, 200);
}

// What a child does with what it inherited is its own affair.
static void ChildThatUnmaps(void) {
  char* pool = Map(NULL, 4 * kMiB, PROT_READ | PROT_WRITE, 0);
  const pid_t child = fork();
  if (child == 0) _exit(munmap(pool, 4 * kMiB));
  waitpid(child, NULL, 0);
  munmap(pool, 4 * kMiB);
}

int main(void) {
  char line[8];
  printf("waiting\n");
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) return 1;
  ChildThatUnmaps();
  PoolOfTheService();
  PoolThatShrinks();
  PoolWithAReserve();
  PoolThatGrows();
  PoolThatEnds();
  BlocksOfTheAllocator();
  printf("ready\n");
  fflush(stdout);
  return fgets(line, sizeof line, stdin) == NULL ? 0 : 1;
}
