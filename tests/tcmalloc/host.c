// SPDX-License-Identifier: Apache-2.0
// What a process may do to malloc, one case a run: prints one line a fact, the same under every
// allocator that keeps to libc's interface. Argument: the case. Ends by itself.
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void __libc_free(void*);
extern void* __libc_realloc(void*, size_t);

static long ResidentKib(void) {
  char text[256] = "";
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == NULL || fgets(text, sizeof text, file) == NULL) return -1;
  fclose(file);
  long pages = 0;
  sscanf(text, "%*d %ld", &pages);
  return pages * 4;
}

static int AlignedTo(const void* block, size_t alignment) {
  return block != NULL && (uintptr_t)block % alignment == 0;
}

// Blocks of libc's own malloc and of the one that serves, each ended by the other's free.
static void Mixed(const char* plugin) {
  for (int i = 0; i < 1000; ++i) {
    const size_t size = 1 + (size_t)i * 97 % 70000;
    void* libcs = __libc_malloc(size);
    memset(libcs, 1, size);
    libcs = realloc(libcs, size * 2);
    memset(libcs, 2, malloc_usable_size(libcs) >= size * 2 ? size * 2 : 0);
    free(libcs);
    void* ours = malloc(size);
    memset(ours, 3, size);
    ours = __libc_realloc(ours, size + 100);
    __libc_free(ours);
  }
  void* handle = dlopen(plugin, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  void* (*make)(size_t) = handle != NULL ? (void* (*)(size_t))dlsym(handle, "Make") : NULL;
  if (make == NULL) return (void)printf("no plug-in: %s\n", dlerror());
  for (int i = 0; i < 1000; ++i) free(make(1 + (size_t)i * 131 % 40000));
  puts("mixed: done");
}

static void Contract(void) {
  errno = 0;
  for (size_t size = 0; size < 300; ++size) {
    void* block = malloc(size);
    if (!AlignedTo(block, 16) || malloc_usable_size(block) < size) printf("malloc %zu\n", size);
    free(block);
  }
  printf("errno after success %d\n", errno);
  void* volatile huge = malloc(PTRDIFF_MAX);
  printf("huge %d errno %d\n", huge != NULL, errno);
  huge = malloc(SIZE_MAX);
  errno = 0;
  huge = calloc(SIZE_MAX / 2, 3);
  printf("calloc %d errno %d\n", huge != NULL, errno);
  errno = 0;
  huge = memalign(64, SIZE_MAX - 32);
  printf("memalign %d errno %d\n", huge != NULL, errno);
  for (size_t alignment = 1; alignment <= 1 << 22; alignment = alignment * 3 / 2 + 1) {
    size_t power = 1;
    while (power < alignment) power <<= 1;
    void* block = memalign(alignment, 100);
    if (!AlignedTo(block, power)) printf("memalign %zu\n", alignment);
    free(block);
  }
  void* block = NULL;
  errno = 7;
  printf("posix_memalign %d %d", posix_memalign(&block, 24, 1), posix_memalign(&block, 4, 1));
  printf(" %d errno %d\n", posix_memalign(&block, 64, SIZE_MAX / 2), errno);
  printf("posix_memalign %d\n", posix_memalign(&block, 1 << 16, 5) == 0 && AlignedTo(block, 65536));
  free(block);
  block = valloc(10);
  printf("valloc %d\n", AlignedTo(block, 4096));
  free(block);
  block = pvalloc(4097);
  printf("pvalloc %d\n", AlignedTo(block, 4096) && malloc_usable_size(block) >= 8192);
  free(block);
  char* text = strcpy(malloc(30), "kept");
  void* volatile failed = realloc(text, PTRDIFF_MAX);
  printf("failed realloc %d: %s\n", failed != NULL, text);
  printf("realloc to 0: %d\n", realloc(text, 0) != NULL);
  printf("usable size of null %zu\n", malloc_usable_size(NULL));
  free(NULL);
}

// A gigabyte that nobody writes to, and zeros where something was before.
static void Calloc(void) {
  for (int i = 0; i < 4; ++i) {
    const size_t sizes[] = {100, 5000, 300 << 10, 3 << 20};
    char* dirty = memset(malloc(sizes[i]), 7, sizes[i]);
    free(dirty);
    const char* clean = calloc(1, sizes[i]);
    int set = 0;
    for (size_t at = 0; at < sizes[i]; ++at) set += clean[at] != 0;
    printf("calloc %zu: %d set\n", sizes[i], set);
    free((void*)clean);
  }
  const long before = ResidentKib();
  char* large = calloc(1, 1 << 30);
  printf("calloc of a gigabyte touches it: %d\n", ResidentKib() - before > 64 << 10);
  free(large);
}

// The allocator's own records must not be what there is no room for: that would abort.
static void LittleMemory(void) {
  for (int mib = 40; mib <= 90; mib += 10) {
    const pid_t pid = fork();
    if (pid == 0) {
      const struct rlimit limit = {(rlim_t)mib << 20, (rlim_t)mib << 20};
      setrlimit(RLIMIT_AS, &limit);
      static void* blocks[1 << 20];
      size_t count = 0;
      for (int round = 0; round < 3; ++round) {
        for (size_t size = 1 << 20; size >= 32; size /= 2)
          for (void* block; count < 1 << 20 && (block = malloc(size)) != NULL;)
            blocks[count++] = block;
        // Every second one goes: the largest number of spans.
        for (size_t i = 0; i < count; ++i)
          if (i % 2 == 0) free(blocks[i]);
        for (size_t i = 0; i < count / 2; ++i) blocks[i] = blocks[2 * i + 1];
        count /= 2;
      }
      _exit(errno == ENOMEM ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    printf("%s", WIFSIGNALED(status) ? "killed " : WEXITSTATUS(status) ? "odd " : "");
  }
  puts("little memory: done");
}

static pthread_key_t key;
static void AllocateAtEnd(void* value) {
  void* block = malloc(4000);
  free(value);
  free(block);
  static __thread int rounds;
  if (++rounds < 3) pthread_setspecific(key, malloc(100));
}

static void* Churn(void* seed) {
  void* slots[64] = {0};
  uintptr_t state = (uintptr_t)seed;
  for (int i = 0; i < 20000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    void** slot = &slots[state >> 58];
    free(*slot);
    *slot = malloc(1 + (state >> 40) % 3000);
  }
  for (int i = 0; i < 64; ++i) free(slots[i]);
  pthread_setspecific(key, malloc(64));
  return malloc(100);
}

// Threads come and go, and allocate in their destructors, too: their caches must go with them.
static void Threads(void) {
  pthread_key_create(&key, AllocateAtEnd);
  long before = 0;
  for (int round = 0; round < 90; ++round) {
    pthread_t threads[8];
    for (uintptr_t i = 0; i < 8; ++i) pthread_create(&threads[i], NULL, Churn, (void*)(i + 1));
    for (int i = 0; i < 8; ++i) {
      void* block = NULL;
      pthread_join(threads[i], &block);
      free(block);
    }
    if (round == 30) before = ResidentKib();
  }
  printf("grows with threads that are gone: %d\n", ResidentKib() - before > 6 << 10);
}

static volatile int stop;
static void* Burn(void* seed) {
  while (!stop) free(Churn(seed));
  return NULL;
}

// Forks while other threads hold the allocator's locks: each child must be able to allocate.
static void Forks(void) {
  pthread_t threads[3];
  for (uintptr_t i = 0; i < 3; ++i) pthread_create(&threads[i], NULL, Burn, (void*)(i + 1));
  int good = 0;
  for (int i = 0; i < 150; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(20);
      free(Churn((void*)7));
      void* large = malloc(2 << 20);
      free(large);
      _exit(large != NULL ? 0 : 1);
    }
    int status = 1;
    good += waitpid(pid, &status, 0) == pid && status == 0;
  }
  stop = 1;
  for (int i = 0; i < 3; ++i) pthread_join(threads[i], NULL);
  printf("children that could allocate: %d\n", good);
}

static void Trim(void) {
  static void* blocks[2000];
  for (int i = 0; i < 2000; ++i) blocks[i] = memset(malloc(40000), 1, 40000);
  const struct mallinfo2 full = mallinfo2();
  printf("given out: %d\n", full.uordblks > 70 << 20 && full.uordblks < 100 << 20);
  printf("the same in mallinfo: %d\n", (size_t)mallinfo().uordblks > full.uordblks - (1 << 20));
  for (int i = 0; i < 2000; ++i) free(blocks[i]);
  malloc_trim(0);
  printf("given back: %d\n", ResidentKib() < 30 << 10);
}

int main(int count, char** arguments) {
  const char* which = count > 1 ? arguments[1] : "";
  if (strcmp(which, "mixed") == 0)
    Mixed(arguments[2]);
  else if (strcmp(which, "contract") == 0)
    Contract();
  else if (strcmp(which, "calloc") == 0)
    Calloc();
  else if (strcmp(which, "little_memory") == 0)
    LittleMemory();
  else if (strcmp(which, "threads") == 0)
    Threads();
  else if (strcmp(which, "forks") == 0)
    Forks();
  else if (strcmp(which, "trim") == 0)
    Trim();
  else
    return 2;
  return fflush(stdout);
}
