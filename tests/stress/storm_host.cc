// SPDX-License-Identifier: Apache-2.0
// A storm on the allocator: threads that allocate in every way, free each other's blocks and end;
// allocations that fail, singly and because the address space is limited for a moment; plug-ins
// that allocate while they come and go; children that go on with what they inherited. Every block
// is marked at both ends and looked at before it is freed.
//
//   storm_host SECONDS THREADS PLUGIN OTHER_PLUGIN
//
// At the end every block is freed; then "done" and counts, and it waits for the end of stdin. Exit
// 1: a block was not what it should be, or a child ended badly.
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <vector>

// Neither inlined nor merged with one that looks the same: its frame is to be on the stack.
#ifdef __clang__
#define OWN_FRAME __attribute__((noinline))
#else
#define OWN_FRAME __attribute__((noipa))
#endif

namespace {

constexpr size_t kSlots = 4096;
constexpr int kCallsOfAThread = 30'000;
constexpr int kCallsOfAChild = 1'500;

// The start of each block; its last 8 bytes are the mark, too.
struct Head {
  uint64_t mark;
  size_t size;
};

std::atomic<Head*> g_slots[kSlots];
std::atomic<bool> g_stop{false};
std::atomic<uint64_t> g_calls{0}, g_refused{0}, g_wrong{0}, g_plugins{0}, g_children{0};
// Held while address space is short: libc itself ends the program where it cannot have memory for a
// thread's destructors.
std::mutex g_scarce;

uint64_t MarkOf(const Head* head, size_t size) {
  return reinterpret_cast<uint64_t>(head) * 0x9e3779b97f4a7c15 ^ size;
}

char* EndOf(Head* head) { return reinterpret_cast<char*>(head) + head->size - sizeof head->mark; }

Head* Mark(void* block, size_t size) {
  auto* head = static_cast<Head*>(block);
  if (head == nullptr) {
    g_refused.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  *head = {MarkOf(head, size), size};
  memcpy(EndOf(head), &head->mark, sizeof head->mark);
  return head;
}

void Look(Head* head) {
  const uint64_t mark = MarkOf(head, head->size);
  const bool whole = head->mark == mark && memcmp(EndOf(head), &mark, sizeof mark) == 0;
  if (!whole) g_wrong.fetch_add(1);
}

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t Below(uint64_t limit) {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return state_ % limit;
  }
  // Mostly small; one in 500 up to 4 MiB; one in 3,000 more than an arena of libc has in reserve.
  size_t Size() {
    const size_t least = sizeof(Head) + sizeof(uint64_t);
    if (Below(3000) == 0) return (size_t{70} << 20) + Below(1 << 20);
    if (Below(500) == 0) return least + Below(4 << 20);
    return least + Below(uint64_t{16} << Below(11));
  }

 private:
  uint64_t state_;
};

// On every stack that holds a block of the storm: the driver looks for it in profiles.
OWN_FRAME void* StormAllocate(size_t size, uint64_t how) {
  void* block = nullptr;
  switch (how) {
    case 0:
      block = calloc(1, size);
      break;
    case 1:
      block = memalign(uint64_t{16} << size % 9, size);
      break;
    case 2:
      if (posix_memalign(&block, 64, size) != 0) block = nullptr;
      break;
    case 3:
      block = aligned_alloc(32, size);
      break;
    case 4:
      block = reallocarray(nullptr, 1, size);
      break;
    default:
      block = malloc(size);
  }
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}

OWN_FRAME Head* StormReallocate(Head* head, size_t size) {
  void* const block = realloc(head, size);
  return block != nullptr ? Mark(block, size) : head;  // one that fails leaves the old block
}

void MustFail(size_t size) {
  void* block = malloc(size);
  asm volatile("" : "+r"(block));
  if (block != nullptr || errno != ENOMEM) g_wrong.fetch_add(1);
}

void Call(Dice* dice) {
  std::atomic<Head*>& slot = g_slots[dice->Below(kSlots)];
  Head* head = slot.exchange(nullptr);
  if (head == nullptr) {
    const size_t size = dice->Size();
    head = Mark(StormAllocate(size, dice->Below(12)), size);
  } else {
    Look(head);
    const uint64_t what = dice->Below(20);
    if (what == 0) MustFail(SIZE_MAX / 2 - dice->Below(1000));
    if (what < 4) {
      head = StormReallocate(head, dice->Size());
    } else {
      free(head);
      head = nullptr;
    }
  }
  Head* const there = slot.exchange(head);
  if (there != nullptr) {
    Look(there);
    free(there);
  }
  g_calls.fetch_add(1, std::memory_order_relaxed);
}

void* RunWorker(void* seed) {
  Dice dice(reinterpret_cast<uintptr_t>(seed));
  for (int i = 0; i < kCallsOfAThread && !g_stop.load(std::memory_order_relaxed); ++i) Call(&dice);
  return nullptr;
}

// Keeps one worker alive after the other.
void* KeepWorking(void* argument) {
  for (auto seed = reinterpret_cast<uintptr_t>(argument); !g_stop; seed += 1000) {
    pthread_t worker;
    const int error = [&] {
      const std::lock_guard lock(g_scarce);
      return pthread_create(&worker, nullptr, RunWorker, reinterpret_cast<void*>(seed));
    }();
    if (error == 0) pthread_join(worker, nullptr);
  }
  return nullptr;
}

void SleepMs(long ms) {
  const timespec time = {ms / 1000, ms % 1000 * 1'000'000};
  nanosleep(&time, nullptr);
}

size_t AddressSpace() {
  size_t pages = 0;
  FILE* const file = fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (fscanf(file, "%zu", &pages) != 1) pages = 0;
  fclose(file);
  return pages * 4096;
}

void* RunShortage(void*) {
  rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  while (!g_stop) {
    SleepMs(150);
    const std::lock_guard lock(g_scarce);
    const size_t now = AddressSpace();
    const rlimit tight = {now + (1 << 20), limit.rlim_max};
    if (now != 0) setrlimit(RLIMIT_AS, &tight);
    SleepMs(20);
    setrlimit(RLIMIT_AS, &limit);
  }
  return nullptr;
}

const char* g_plugin_paths[2];

void* UsePlugin(void* works) {
  if (!reinterpret_cast<bool (*)()>(works)()) g_wrong.fetch_add(1);
  return nullptr;
}

void* RunPlugins(void*) {
  for (size_t i = 0; !g_stop; ++i) {
    SleepMs(1);  // for others to get the lock
    const std::lock_guard lock(g_scarce);
    void* const plugin = dlopen(g_plugin_paths[i % 2], RTLD_NOW);
    if (plugin == nullptr) {
      g_wrong.fetch_add(1);
      break;
    }
    pthread_t user;
    void* const works = dlsym(plugin, "StormPluginWorks");
    if (pthread_create(&user, nullptr, UsePlugin, works) == 0) pthread_join(user, nullptr);
    dlclose(plugin);
    g_plugins.fetch_add(1);
  }
  return nullptr;
}

// Nobody else is there to hold what a slot lacks.
[[noreturn]] void BeChild(uint64_t seed) {
  alarm(60);
  Dice dice(seed);
  for (int i = 0; i < kCallsOfAChild; ++i) Call(&dice);
  _exit(g_wrong.load() == 0 ? 0 : 1);
}

void* RunChildren(void*) {
  for (uint64_t i = 1; !g_stop; ++i) {
    SleepMs(40);
    const pid_t child = [&] {
      const std::lock_guard lock(g_scarce);
      return fork();
    }();
    if (child == 0) BeChild(i);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
      fprintf(stderr, "child %d: status %#x\n", child, static_cast<unsigned>(status));
      g_wrong.fetch_add(1);
    }
    g_children.fetch_add(1);
  }
  return nullptr;
}

void FreeAll() {
  for (std::atomic<Head*>& slot : g_slots) {
    Head* const head = slot.exchange(nullptr);
    if (head == nullptr) continue;
    Look(head);
    free(head);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: %s SECONDS THREADS PLUGIN OTHER_PLUGIN\n", argv[0]);
    return 2;
  }
  g_plugin_paths[0] = argv[3];
  g_plugin_paths[1] = argv[4];
  mallopt(M_MMAP_THRESHOLD, 128 << 10);  // or libc stops asking the kernel, which is to refuse
  const auto workers = static_cast<uintptr_t>(atoi(argv[2]));
  std::vector<pthread_t> threads(workers + 3);
  for (uintptr_t i = 0; i < workers; ++i) {
    pthread_create(&threads[i], nullptr, KeepWorking, reinterpret_cast<void*>(i + 1));
  }
  pthread_create(&threads[workers], nullptr, RunShortage, nullptr);
  pthread_create(&threads[workers + 1], nullptr, RunPlugins, nullptr);
  pthread_create(&threads[workers + 2], nullptr, RunChildren, nullptr);
  SleepMs(atol(argv[1]) * 1000);
  g_stop = true;
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  FreeAll();
  printf("done: %lu calls, %lu refused, %lu plug-ins, %lu children, %lu wrong\n", g_calls.load(),
         g_refused.load(), g_plugins.load(), g_children.load(), g_wrong.load());
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return g_wrong.load() == 0 ? 0 : 1;
}
