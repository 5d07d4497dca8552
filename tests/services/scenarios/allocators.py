# SPDX-License-Identifier: Apache-2.0
"""Other allocators beside the agent: jemalloc and tcmalloc preloaded before and behind it, and a program's own malloc.

The program does the same under all; the agent says who allocates, and behind another allocator that it sees nothing.
"""
import os
import re

from lab import AGENT_PORT, answers, status_of, take_all

TARGET, NEEDS = "work-c", ["gcc"]
LIBRARIES = {"jemalloc": "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
             "tcmalloc": "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"}
HELD_MIB = 40
WORK = r"""
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
__attribute__((noinline)) char* keep_block(size_t n) { char* p = malloc(n); memset(p, 7, n); return p; }
void* churn(void* arg) {
  const double end = now() + 4;
  unsigned long sum = 0;
  unsigned long seed = (unsigned long)arg;
  char* slots[64] = {0};
  while (now() < end)
    for (int i = 0; i < 1000; ++i) {
      seed = seed * 6364136223846793005ul + 1442695040888963407ul;
      char** slot = &slots[seed >> 58];
      *slot = seed & 1 << 20 ? realloc(*slot, 1 + (seed >> 50)) : (free(*slot), calloc(1, 1 + (seed >> 52)));
      sum += **slot != 7;
      **slot = 7;
    }
  for (int i = 0; i < 64; ++i) free(slots[i]);
  return (void*)(unsigned long)(sum > 0);
}
int main(void) {
  static char* kept[HELD * 32];
  sleep(2);  // what is allocated before the agent is up is unknown to it
  for (int i = 0; i < HELD * 32; ++i) kept[i] = keep_block(32768);
  void* aligned = NULL;
  printf("%d %d\n", posix_memalign(&aligned, 4096, 100), (int)((unsigned long)aligned % 4096));
  printf("usable %d\n", malloc_usable_size(kept[3]) >= 32768);
  fflush(stdout);
  pthread_t threads[2];
  for (long i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, churn, (void*)(i + 1));
  for (int i = 0; i < 2; ++i) { void* result; pthread_join(threads[i], &result); printf("%ld\n", (long)result); }
  for (int i = 0; i < HELD * 32; i += 2) free(kept[i]);
  printf("%d\n", kept[5][77]);
  return 9;
}
"""
# Powers of two from its own mappings, a list of free blocks for each, behind a mutex. The size lies before the block.
OWN = r"""
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
enum { kHead = 16, kChunk = 64 << 20 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *at, *end;
static void* idle[64];
static size_t* size_of(void* p) { return (size_t*)p - 1; }
static int class_of(size_t n) { int c = 5; while (((size_t)1 << c) < n) ++c; return c; }
static void* take(size_t align, size_t n) {
  const int c = class_of(n);
  n = (size_t)1 << c;
  pthread_mutex_lock(&lock);
  char* p = align <= 16 ? idle[c] : 0;
  if (p) {
    idle[c] = *(void**)p;
  } else {
    p = (char*)(((uintptr_t)at + kHead + align - 1) / align * align);
    if (!at || p + n > end) {
      const size_t chunk = n + align + kChunk;
      at = mmap(0, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      end = at + chunk;
      p = (char*)(((uintptr_t)at + kHead + align - 1) / align * align);
    }
    at = p + n;
  }
  pthread_mutex_unlock(&lock);
  *size_of(p) = n;
  return p;
}
void* malloc(size_t n) { return take(16, n); }
void free(void* p) {
  if (!p) return;
  const int c = class_of(*size_of(p));
  pthread_mutex_lock(&lock);
  *(void**)p = idle[c];
  idle[c] = p;
  pthread_mutex_unlock(&lock);
}
void* calloc(size_t a, size_t b) { return memset(take(16, a * b), 0, a * b); }
void* realloc(void* p, size_t n) {
  if (p && *size_of(p) >= n) return p;
  char* fresh = take(16, n);
  if (p) memcpy(fresh, p, *size_of(p));
  free(p);
  return fresh;
}
int posix_memalign(void** out, size_t align, size_t n) { *out = take(align, n); return 0; }
void* aligned_alloc(size_t align, size_t n) { return take(align, n); }
void* memalign(size_t align, size_t n) { return take(align, n); }
size_t malloc_usable_size(void* p) { return p ? *size_of(p) : 0; }
"""


def build(lab):
    flags = ["gcc", "-O1", "-g", "-pthread"]
    work = lab.write("work.c", WORK.replace("HELD", str(HELD_MIB)))
    own = lab.write("own.c", OWN)
    os.makedirs(lab.path("own"))
    for program, sources in (("work-c", [work]), ("own/work-c", [work, own, "-fno-builtin"])):
        done = lab.run([*flags, *sources, "-o", lab.path(program)])
        lab.note(f"built {program}: {done.returncode} {done.stderr}")


def one(lab, label, program, preload, allocator, not_covered=None):
    """preload: names, of which AGENT stands for the agent; bare, the others are preloaded alone."""
    chain = ":".join(lab.agent or "" if name == "AGENT" else LIBRARIES[name] for name in preload).strip(":")
    process = lab.start([lab.path(program)], LD_PRELOAD=chain)
    base = f"http://127.0.0.1:{AGENT_PORT}"
    # Half of the samples of a bounded time: what holds the memory is known to the byte, the estimate is not.
    holders = {} if not_covered else {"keep_block": (0.75 * HELD_MIB * 2**20, 1.3 * HELD_MIB * 2**20)}
    if lab.agent and lab.wait_for(lambda: answers(base) and "usable" in lab.log(program), 15):
        lab.profiles += take_all(lab, base, 2, holders=holders, not_covered=not_covered)
        said = status_of(base)
        if not any(re.search(allocator, line) for line in said["allocators"]):
            lab.note(f"{label}: no allocator like {allocator} in {said['allocators']}")
        if not_covered and not any(re.search(not_covered, line) for line in said["not_covered"]):
            lab.note(f"{label}: status does not say {not_covered}: {said['not_covered']}")
    elif lab.agent:
        lab.note(f"{label}: the agent does not answer")
    lab.note(f"{label}: ended with {process.wait(60)}\n{lab.log(program)}")
    os.remove(lab.path(os.path.basename(program) + ".log"))


def run(lab):
    build(lab)
    one(lab, "libc", "work-c", ["AGENT"], "glibc.*serves malloc")
    for name, library in LIBRARIES.items():
        if not os.path.exists(library):
            print(f"no {library}")
            continue
        one(lab, f"agent, {name}", "work-c", ["AGENT", name], f"{name}.*serves malloc")
        one(lab, f"{name}, agent", "work-c", [name, "AGENT"], f"{name}.*serves malloc", f"malloc goes to {name}")
    one(lab, "own malloc", "own/work-c", ["AGENT"], "the program.*serves malloc", "malloc goes to")
