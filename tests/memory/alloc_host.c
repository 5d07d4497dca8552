// SPDX-License-Identifier: Apache-2.0
// Holds 64 MiB in blocks, has given back another 64 MiB between them, and has a mapping of 32 MiB
// of its own; a thread sleeps. Ends by itself after a minute.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kBlocks = 64 << 10, kBlockBytes = 1024, kMappingBytes = 32 << 20 };

static void* kept[kBlocks];
static void* dropped[kBlocks];

static void* Sleep(void* unused) {
  sleep(60);
  return unused;
}

int main(void) {
  for (int i = 0; i < kBlocks; ++i) {
    kept[i] = memset(malloc(kBlockBytes), 1, kBlockBytes);
    dropped[i] = memset(malloc(kBlockBytes), 1, kBlockBytes);
  }
  for (int i = 0; i < kBlocks; ++i) free(dropped[i]);
  void* mapping =
      mmap(NULL, kMappingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(mapping, 1, kMappingBytes);
  pthread_t thread;
  pthread_create(&thread, NULL, Sleep, NULL);
  printf("ready\n");
  fflush(stdout);
  sleep(60);
  return 0;
}
