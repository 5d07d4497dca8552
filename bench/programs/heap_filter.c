// SPDX-License-Identifier: Apache-2.0
// The experiment behind collectors/safe/heap_filter.h: a preload that does on every malloc and free
// what the agent does when nothing is sampled, with the filter that FILTER names. 1,000 blocks are
// taken for sampled, at random.
//   0 no filter: forward and countdown   1 64 Ki bytes, plain address bits   2 64 Ki bytes, hashed
//   3 one bit for each 4 KiB page of 32 GiB, folded   4 4 Ki bytes, plain bits
//   5 16 Ki bytes, plain bits
// And what no hook of this kind can go below:
//   6 forward only, by a jump   7 as 1, but the two rare branches are really taken, once in 512
//   KiB, with next to nothing behind them
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

static void Begin(void);
static void* StartMalloc(size_t);
static void StartFree(void*);
static void* (*g_malloc)(size_t) = StartMalloc;
static void (*g_free)(void*) = StartFree;
#define INTERVAL (FILTER == 7 ? 512u << 10 : UINT64_MAX / 2)
static _Thread_local uint64_t t_gap __attribute__((tls_model("initial-exec"))) = INTERVAL;
static uint8_t g_filter[1 << 20] __attribute__((aligned(4096)));

#define INDEX(at) ((uint16_t)((at) >> 4))

__attribute__((noinline, unused)) static void* SlowMalloc(size_t size) {
  t_gap = INTERVAL;
  void* const block = g_malloc(size);
  g_filter[INDEX((uint64_t)block)] = 1;
  return block;
}

__attribute__((noinline)) static void SlowFree(void* block) {
  g_filter[INDEX((uint64_t)block)] = 0;
  g_free(block);
}

#if FILTER == 1 || FILTER == 7
#define MAY_HOLD(at) (g_filter[INDEX(at)] != 0)
#elif FILTER == 2
#define MAY_HOLD(at) (g_filter[((at)*0x9e3779b97f4a7c15u) >> 48] != 0)
#elif FILTER == 3
#define MAY_HOLD(at) ((g_filter[((at) >> 15) & 0xfffff] >> (((at) >> 12) & 7) & 1) != 0)
#elif FILTER == 4
#define MAY_HOLD(at) (g_filter[((at) >> 4) & 0xfff] != 0)
#elif FILTER == 5
#define MAY_HOLD(at) (g_filter[((at) >> 4) & 0x3fff] != 0)
#else
#define MAY_HOLD(at) ((at) == 0 && 0)
#endif

static void* StartMalloc(size_t size) {
  Begin();
  return g_malloc(size);
}

static void StartFree(void* block) {
  Begin();
  g_free(block);
}

__attribute__((constructor)) static void Begin(void) {
  g_malloc = (void* (*)(size_t))dlsym(RTLD_NEXT, "malloc");
  g_free = (void (*)(void*))dlsym(RTLD_NEXT, "free");
  uint64_t random = 88172645463325252u;
  for (int i = 0; i < (FILTER == 7 ? 0 : 1000); ++i) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
#if FILTER == 3
    if (i < 60) g_filter[random & 0xfffff] |= 1;
#elif FILTER == 4
    if (i < 60) g_filter[random & 0xfff] = 1;
#elif FILTER == 5
    if (i < 250) g_filter[random & 0x3fff] = 1;
#else
    g_filter[random & 0xffff] = 1;
#endif
  }
}

__attribute__((visibility("default"))) void* malloc(size_t size) {
#if FILTER != 6
  _Bool due;
  __asm__("stc\n\tsbb %[size], %[gap]" : "=@ccc"(due), [gap] "+m"(t_gap) : [size] "r"(size));
  if (__builtin_expect(due, 0)) return SlowMalloc(size);
#endif
  return g_malloc(size);
}

__attribute__((visibility("default"))) void free(void* block) {
  const uint64_t at = (uint64_t)block;
  if (__builtin_expect(MAY_HOLD(at), 0)) {
    SlowFree(block);
    return;
  }
  g_free(block);
}
