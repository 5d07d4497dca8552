// SPDX-License-Identifier: Apache-2.0
// Hosts in which blocks go from thread to thread and from process to process.
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"
#include "tests/hosts/host_heap_blocks.h"

static void* AllocateALot(void* unused) {
  (void)unused;
  void** blocks = (void**)calloc(2000, sizeof *blocks);
  for (size_t i = 0; i < 2000; i++) blocks[i] = Filled(malloc(100 + i % 900), 100 + i % 900);
  return blocks;
}

static int CheckAndFree(void** blocks) {
  int whole = 0;
  for (size_t i = 0; i < 2000; i++) {
    whole += Whole(blocks[i], 100 + i % 900);
    free(blocks[i]);
  }
  free(blocks);
  return whole;
}

HOST_CASE(blocks_outlive_their_thread, thread_eater, fast) {
  int whole = 0;
  for (int round = 0; round < 10; round++) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, AllocateALot, NULL);
    for (int i = 0; i < 4; i++) {
      void* blocks = NULL;
      pthread_join(threads[i], &blocks);
      whole += CheckAndFree((void**)blocks);
    }
  }
  Say("whole %d", whole);
  return 0;
}

// Slots that all threads swap blocks in and out of: most blocks are freed by another thread.
enum { kSlots = 4096, kStorm = 8, kSwaps = 60000 };
static void* slots[kSlots];
static int damaged;

static size_t SizeInSlot(uint32_t word) { return 16 + word % 2000; }

static void* SwapBlocks(void* seed) {
  uint32_t word = (uint32_t)(uintptr_t)seed * 2654435761u + 1;
  for (int i = 0; i < kSwaps; i++) {
    word = word * 1664525 + 1013904223;
    const size_t size = SizeInSlot(word >> 8);
    size_t* block = (size_t*)malloc(size);
    if (i % 16 == 0) block = (size_t*)realloc(block, size + 64);
    block[0] = size;
    block[1] = ~size;
    size_t* other = (size_t*)__atomic_exchange_n(&slots[word % kSlots], block, __ATOMIC_ACQ_REL);
    if (other != NULL && other[0] != ~other[1]) __atomic_add_fetch(&damaged, 1, __ATOMIC_RELAXED);
    free(other);
  }
  return NULL;
}

HOST_CASE(blocks_freed_by_other_threads, arena_allocator, fast) {
  pthread_t threads[kStorm];
  for (uintptr_t i = 0; i < kStorm; i++) {
    pthread_create(&threads[i], NULL, SwapBlocks, (void*)(i + 1));
  }
  for (int i = 0; i < kStorm; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < kSlots; i++) free(slots[i]);
  Say("damaged %d", damaged);
  return 0;
}

static volatile bool swapping = true;

static void* SwapOn(void* seed) {
  while (swapping) {
    void* block = Filled(malloc(777), 777);
    free(realloc(block, 3333));
  }
  return seed;
}

static int FreeInChild(void* argument) {
  void** blocks = (void**)argument;
  const int whole = CheckAndFree(blocks);
  const int more = CheckAndFree((void**)AllocateALot(NULL));
  return whole == 2000 && more == 2000 ? 7 : 8;
}

HOST_CASE(fork_beside_threads_that_allocate, malloc_locker, fast) {
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, SwapOn, NULL);
  void** blocks = (void**)AllocateALot(NULL);
  int right = 0;
  for (int i = 0; i < 40; i++) {
    const int status = InChild(FreeInChild, blocks);
    right += WIFEXITED(status) && WEXITSTATUS(status) == 7;
  }
  swapping = false;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  Say("right %d of 40, whole %d", right, CheckAndFree(blocks));
  return 0;
}

HOST_CASE(vfork_child_that_allocates, extra_child, fast) {
  int right = 0;
  for (int i = 0; i < 50; i++) {
    void* volatile block = Filled(malloc(1234), 1234);
    const pid_t child = vfork();
    if (child == 0) {
      free(block);
      block = Filled(malloc(4321), 4321);
      __asm__ volatile("" ::: "memory");  // the parent reads what is written here
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    right += status == 0 && Whole(block, 4321);
    free(block);
  }
  Say("right %d of 50", right);
  return 0;
}

static void* OneBlock(void* unused) {
  (void)unused;
  return Filled(malloc(513), 513);
}

HOST_CASE(storm_of_threads_that_allocate_once, thread_eater, fast) {
  int whole = 0;
  for (int i = 0; i < 1500; i++) {
    pthread_t thread;
    void* block = NULL;
    if (pthread_create(&thread, NULL, OneBlock, NULL) != 0) continue;
    pthread_join(thread, &block);
    whole += Whole(block, 513);
    free(block);
  }
  Say("whole %d", whole);
  return 0;
}

static pthread_key_t key;
static int freed_at_end;

static void FreeAtThreadEnd(void* block) {
  if (!Whole(block, 901)) Check(false, "block at the end of a thread");
  free(block);
  free(malloc(333));
  __atomic_add_fetch(&freed_at_end, 1, __ATOMIC_RELAXED);
}

static void* LeaveABlock(void* unused) {
  pthread_setspecific(key, Filled(malloc(901), 901));
  return unused;
}

HOST_CASE(destructors_of_threads_free, thread_eater, fast) {
  pthread_key_create(&key, FreeAtThreadEnd);
  for (int i = 0; i < 300; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, LeaveABlock, NULL) == 0) pthread_join(thread, NULL);
  }
  Say("freed %d", freed_at_end);
  return 0;
}
