// SPDX-License-Identifier: Apache-2.0
// Hosts that use the allocator in every way, early and late, in handlers, children and storms.
// Every block is filled and read back, so one that is handed out twice is seen.
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

// A block whose reallocation failed is still there; g++ cannot know.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuse-after-free"
#endif

static unsigned char MarkOf(const void* block, size_t size) {
  return (unsigned char)((uintptr_t)block >> 4 ^ size * 31);
}

static void* Filled(void* block, size_t size) {
  if (block != NULL) memset(block, MarkOf(block, size), size);
  return block;
}

static bool Whole(const void* block, size_t size) {
  const unsigned char* bytes = (const unsigned char*)block;
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != MarkOf(block, size)) return false;
  }
  return true;
}

static bool Zeroed(const void* block, size_t size) {
  const unsigned char* bytes = (const unsigned char*)block;
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

// A size the compiler does not know: it would warn of, or remove, calls that cannot succeed.
static size_t Opaque(size_t size) {
  __asm__("" : "+r"(size));
  return size;
}

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

static void* volatile in_handler;

static void AllocateInHandler(int sig) {
  (void)sig;
  const int before = errno;
  free(in_handler);
  in_handler = Filled(malloc(2048), 2048);
  in_handler = realloc(in_handler, 1024);
  errno = before;
}

// Synchronous signals: the host's allocator need not be reentrant for them.
HOST_CASE(handlers_that_allocate, malloc_errno_changer, fast) {
  static char alternate[64 << 10];
  const stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_handler = AllocateInHandler, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  errno = EDOM;
  int kept = 0;
  for (int i = 0; i < 5000; i++) {
    errno = EDOM;
    raise(SIGUSR1);
    void* block = malloc(64);
    kept += errno == EDOM && in_handler != NULL;
    free(block);
  }
  Say("kept %d", kept);
  return 0;
}

static void* OneBlock(void* unused) {
  (void)unused;
  return Filled(malloc(513), 513);
}

// Handlers that leave by siglongjmp whatever they interrupted, but for libc and the loader, which
// may hold a lock: so also an allocation that an agent looks at.
static sigjmp_buf left;
static uintptr_t not_to_leave[2][2];
static volatile sig_atomic_t may_leave, times_left;

static int FindLibc(struct dl_phdr_info* info, size_t size, void* argument) {
  (void)size;
  int* found = argument;
  if (strstr(info->dlpi_name, "/libc.so.6") == NULL && strstr(info->dlpi_name, "/ld-") == NULL) {
    return 0;
  }
  uintptr_t end = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)* segment = &info->dlpi_phdr[i];
    if (segment->p_type == PT_LOAD) end = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;
  }
  not_to_leave[*found][0] = info->dlpi_addr;
  not_to_leave[*found][1] = end;
  return ++*found == 2;
}

static void Leave(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)info;
  const ucontext_t* machine = context;
  const uintptr_t at = (uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
  for (int i = 0; i < 2; i++) {
    if (at >= not_to_leave[i][0] && at < not_to_leave[i][1]) return;
  }
  if (!may_leave) return;
  may_leave = 0;
  times_left = times_left + 1;
  siglongjmp(left, 1);
}

HOST_CASE(handlers_that_leave_allocations, malloc_locker, fast) {
  int found = 0;
  dl_iterate_phdr(FindLibc, &found);
  struct sigaction action = {.sa_sigaction = Leave, .sa_flags = SA_SIGINFO};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval every = {{0, 300}, {0, 300}};
  setitimer(ITIMER_REAL, &every, NULL);
  sigsetjmp(left, 1);
  may_leave = 1;
  while (times_left < 200) {
    void* block = malloc(Opaque(100));
    memset(block, 1, 100);
    free(block);
  }
  may_leave = 0;
  const struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  signal(SIGALRM, SIG_DFL);
  Say("libc and loader %d, left often enough %d", found, times_left >= 200);
  return 0;
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
