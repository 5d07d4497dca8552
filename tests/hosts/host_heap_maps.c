// SPDX-License-Identifier: Apache-2.0
// Hosts that map memory themselves, in the ways of pools, collectors and runtimes: over what is
// there, in handlers of faults, beside threads, in children. Contents are read back.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kPage = 4096, kPiece = 16 * kPage, kPool = 16 * kPiece };
static const int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
static const int kUse = PROT_READ | PROT_WRITE;

static char* Map(void* where, size_t size, int flags) {
  return (char*)mmap(where, size, kUse, kAnonymous | flags, -1, 0);
}

// Reserved at first, used piece by piece, given back by mapping nothing over it.
HOST_CASE(a_pool_that_maps_over_itself, mmap_simplifier, fast) {
  int right = 0;
  for (int round = 0; round < 100; round++) {
    errno = EDOM;
    char* pool = (char*)mmap(NULL, kPool, PROT_NONE, kAnonymous | MAP_NORESERVE, -1, 0);
    for (int i = 0; i < 16; i += 2) {
      char* piece = Map(pool + i * kPiece, kPiece, MAP_FIXED);
      if (piece == pool + i * kPiece) piece[kPiece - 1] = (char)i;
    }
    for (int i = 0; i < 16; i += 2) right += pool[(i + 1) * kPiece - 1] == i;
    right += Map(pool + kPage, kPiece, MAP_FIXED_NOREPLACE) == MAP_FAILED && errno == EEXIST;
    errno = EDOM;
    right += mmap(pool, kPool, PROT_NONE, kAnonymous | MAP_FIXED, -1, 0) == pool && errno == EDOM;
    right += munmap(pool, kPool) == 0 && errno == EDOM;
  }
  Say("right %d of %d", right, 100 * 11);
  return 0;
}

HOST_CASE(mappings_that_move, mmap_simplifier, fast) {
  int right = 0;
  for (int round = 0; round < 200; round++) {
    char* from = Map(NULL, kPiece, 0);
    char* to = Map(NULL, 4 * kPiece, 0);
    strcpy(from, "what was mapped");
    char* moved = (char*)mremap(from, kPiece, 2 * kPiece, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    right += moved == to && strcmp(to, "what was mapped") == 0;
    right += mremap(to, 2 * kPiece, kPage, 0) == to && strcmp(to, "what was mapped") == 0;
    errno = 0;
    right += mremap(to + 1, kPage, kPiece, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL;
    right += munmap(to, 4 * kPiece) == 0;
    errno = 0;
    right += munmap(to, 0) == -1 && errno == EINVAL;
  }
  Say("right %d of %d", right, 200 * 5);
  return 0;
}

static char* heap_of_collector;
static volatile int faults;

// As collectors do: the page is made when it is touched.
static void MapWhereItFaults(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)context;
  const int before = errno;
  char* page = (char*)((uintptr_t)info->si_addr & ~(uintptr_t)(kPiece - 1));
  faults = faults + 1;
  if (Map(page, kPiece, MAP_FIXED) != page) _exit(9);
  page[1] = 5;
  errno = before;
}

HOST_CASE(faults_that_map, mmap_simplifier, fast) {
  static char alternate[16 << 10];
  const stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
  action.sa_sigaction = MapWhereItFaults;
  sigaction(SIGSEGV, &action, NULL);
  int right = 0;
  for (int round = 0; round < 40; round++) {
    char* reserved =
        (char*)mmap(NULL, kPool + kPiece, PROT_NONE, kAnonymous | MAP_NORESERVE, -1, 0);
    heap_of_collector = (char*)(((uintptr_t)reserved + kPiece - 1) & ~(uintptr_t)(kPiece - 1));
    errno = EDOM;
    for (int i = 0; i < 16; i++) *(volatile char*)(heap_of_collector + i * kPiece) = 3;
    for (int i = 0; i < 16; i++) right += heap_of_collector[i * kPiece + 1] == 5;
    // Not in the handler: of its own.
    right += Map(heap_of_collector, kPiece, MAP_FIXED) == heap_of_collector && errno == EDOM;
    munmap(reserved, kPool + kPiece);
  }
  signal(SIGSEGV, SIG_DFL);
  Say("right %d of %d, faults %d", right, 40 * 17, faults);
  return 0;
}

static void* MapAndUnmap(void* seed) {
  uintptr_t wrong = 0;
  uint32_t word = (uint32_t)(uintptr_t)seed;
  for (int i = 0; i < 3000; i++) {
    word = word * 1664525 + 1013904223;
    const size_t size = kPiece + (word >> 16) % 16 * kPage;
    char* mapping = Map(NULL, size, 0);
    wrong += mapping[size - 1] != 0;  // of another thread
    mapping[size - 1] = 1;
    const size_t half = size / 2 / kPage * kPage;
    wrong += munmap(mapping + half, size - half) != 0;
    mapping[half - 1] = 1;
    wrong += munmap(mapping, half) != 0;
  }
  return (void*)wrong;
}

HOST_CASE(threads_that_map, munmap_rounder, fast) {
  pthread_t threads[4];
  uintptr_t wrong = 0;
  for (uintptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, MapAndUnmap, (void*)i);
  for (int i = 0; i < 4; i++) {
    void* result = NULL;
    pthread_join(threads[i], &result);
    wrong += (uintptr_t)result;
  }
  Say("wrong %d", (int)wrong);
  return 0;
}

static int UnmapInChild(void* argument) {
  char* mapping = (char*)argument;
  const int there = mapping[0] == 7;
  char* own = Map(NULL, kPool, 0);
  own[kPool - 1] = 1;
  const int done = munmap(mapping + kPiece, kPiece) == 0 && munmap(own, kPool) == 0;
  return there && done && mapping[0] == 7 ? 7 : 8;
}

HOST_CASE(children_that_unmap, mmap_simplifier, fast) {
  int right = 0;
  for (int i = 0; i < 40; i++) {
    errno = EDOM;
    char* mapping = Map(NULL, kPool, 0);
    right += errno == EDOM;
    memset(mapping, 7, kPool);
    const int status = InChild(UnmapInChild, mapping);
    right += WIFEXITED(status) && WEXITSTATUS(status) == 7 && mapping[kPiece] == 7;
    const pid_t child = vfork();
    if (child == 0) _exit(munmap(mapping, kPiece) == 0 ? 0 : 1);
    int vforked = 1;
    waitpid(child, &vforked, 0);
    right += vforked == 0 && Map(mapping, kPiece, MAP_FIXED_NOREPLACE) == mapping;
    right += munmap(mapping, kPool) == 0;
  }
  Say("right %d of %d", right, 40 * 4);
  return 0;
}

// A stack of the host's own, as runtimes map them; and one that the kernel grows.
HOST_CASE(stacks_that_the_host_maps, mmap_simplifier, fast) {
  int right = 0;
  for (int i = 0; i < 4; i++) {
    errno = EDOM;
    char* stack = Map(NULL, 4 * kPiece, MAP_STACK | MAP_NORESERVE);
    char* grows = Map(NULL, 4 * kPiece, MAP_GROWSDOWN);
    right += stack != MAP_FAILED && grows != MAP_FAILED && errno == EDOM;
    grows[0] = stack[4 * kPiece - 1] = 1;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, 4 * kPiece);
    pthread_t thread;
    void* result = &thread;
    right += pthread_create(&thread, &attributes, MapAndUnmap, (void*)(uintptr_t)i) == 0;
    pthread_join(thread, &result);
    pthread_attr_destroy(&attributes);
    right += result == NULL && munmap(stack, 4 * kPiece) == 0 && munmap(grows, 4 * kPiece) == 0;
  }
  Say("right %d of %d", right, 4 * 3);
  return 0;
}
