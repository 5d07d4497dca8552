// SPDX-License-Identifier: Apache-2.0
// Holds so many blocks of so many bytes from each of three functions, and tells where these are:
// "site NAME ADDRESS OBJECTS BYTES", then "ready". "forks SECONDS": a thread forks for so long
// children that allocate, and it says "forked". "room BYTES": what it may map from now on. Ends by
// itself after a minute.
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kWarmUps = 64, kWarmUpBytes = 1 << 20 };

#define APART __attribute__((aligned(512)))

// Not inlined, not merged, and no tail call: the frame is the site.
#define SITE(name, objects, bytes)                                                          \
  enum { k##name##Objects = (objects), k##name##Bytes = (bytes) };                          \
  static void* kept_##name[objects];                                                        \
  APART __attribute__((noinline)) void* name(int i) {                                       \
    kept_##name[i] = malloc(k##name##Bytes);                                                \
    memset(kept_##name[i], 1, 1);                                                           \
    return kept_##name[i];                                                                  \
  }                                                                                         \
  static void Run##name(void) {                                                             \
    for (int i = 0; i < k##name##Objects; ++i) name(i);                                     \
    printf("site " #name " %lu %d %ld\n", (unsigned long)(uintptr_t)name, k##name##Objects, \
           (long)k##name##Objects* k##name##Bytes);                                         \
  }

SITE(Tiny, 1000000, 20)
SITE(Small, 40000, 1030)
SITE(Large, 64, 1 << 20)

static int Look(struct dl_phdr_info* info, size_t size, void* count) {
  (void)info, (void)size, (void)count;
  return 1;
}

// A child that waits for a lock may have its signals blocked.
static int EndsWell(pid_t child) {
  int status = 0;
  for (int i = 0; i < 100000; ++i) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended != 0) return ended == child && status == 0;
    usleep(50);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return 0;
}

APART static void* Fork(void* argument) {
  const time_t end = time(NULL) + *(const int*)argument;
  int count = 0;
  for (; time(NULL) < end; ++count) {
    const pid_t child = fork();
    if (child == 0) {
      // Whole pages: by the lock of the page heap.
      void* volatile block = malloc(kWarmUpBytes);
      free(block);
      // By the loader's lock, which exceptions take as well.
      dl_iterate_phdr(Look, NULL);
      _exit(0);
    }
    if (child < 0 || !EndsWell(child)) {
      printf("child %d of %d does not end\n", child, count);
      return NULL;
    }
  }
  printf("forked\n");
  return NULL;
}

static void LimitRoom(long more) {
  long pages = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%ld", &pages) != 1) abort();
  fclose(file);
  const rlim_t bytes = (rlim_t)(pages * 4096 + more);
  const struct rlimit limit = {bytes, bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) abort();
}

APART int main(int argc, char** argv) {
  // tcmalloc draws its first sample before it has read how often it is to.
  for (int i = 0; i < kWarmUps; ++i) {
    void* volatile block = malloc(kWarmUpBytes);
    free(block);
  }
  RunTiny();
  RunSmall();
  RunLarge();
  printf("ready\n");
  fflush(stdout);
  pthread_t thread;
  int seconds = 0;
  if (argc == 3 && strcmp(argv[1], "room") == 0) {
    sleep(2);  // the agent has begun by then
    LimitRoom(atol(argv[2]));
    printf("limited\n");
  }
  if (argc == 3 && strcmp(argv[1], "forks") == 0) {
    seconds = atoi(argv[2]);
    pthread_create(&thread, NULL, Fork, &seconds);
    pthread_join(thread, NULL);
  }
  fflush(stdout);
  sleep(60);
  return 0;
}
