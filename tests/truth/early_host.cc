// SPDX-License-Identifier: Apache-2.0
// A program that allocates while the agent starts: a block for each kStepNs that the agent's thread
// has worked, by its own CPU clock, from its first instruction until its socket is there. So it
// does not matter how fast or how busy the machine is. Two call sites by turns; the blocks of one
// are freed at once. It is linked with libraries whose unwind tables take the agent long to build.
//
// Then it answers as the other hosts do: after a line on stdin, "site N BYTES" for what was
// allocated on each, and "ready"; it ends with stdin.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <string>

#ifdef __clang__
#define OWN_FRAME __attribute__((noinline))
#else
#define OWN_FRAME __attribute__((noipa))
#endif

namespace {

// The agent has room for a thousand pages of stacks that wait for a table; on a busy machine it
// works up to 80 ms.
constexpr uint64_t kStepNs = 200'000;
constexpr uint64_t kPatienceNs = 60'000'000'000;
constexpr size_t kBlockBytes = 16 << 10;
constexpr size_t kMostBlocks = 1000;

size_t g_blocks[2];

uint64_t NowNs(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// The name in `directory` for which `is(name)`; empty: none.
template <typename Is>
std::string Find(const char* directory, const Is& is) {
  std::string found;
  DIR* const names = opendir(directory);
  if (names == nullptr) return found;
  while (const dirent* entry = readdir(names)) {
    if (is(std::string(entry->d_name))) found = entry->d_name;
  }
  closedir(names);
  return found;
}

bool IsAgent(const std::string& tid) {
  char name[32] = {};
  FILE* const file = fopen(("/proc/self/task/" + tid + "/comm").c_str(), "r");
  if (file == nullptr) return false;
  const bool read = fgets(name, sizeof name, file) != nullptr;
  fclose(file);
  return read && strcmp(name, "sonde\n") == 0;
}

bool IsSocket(const std::string& name) {
  return name.size() > 5 && name.compare(name.size() - 5, 5, ".sock") == 0;
}

// One symbol a site: the test finds the site of a stack by it.
template <int kSite>
OWN_FRAME void* At() {
  void* const block = malloc(kBlockBytes);
  asm volatile("" : : "r"(block), "i"(kSite) : "memory");
  ++g_blocks[kSite];
  return block;
}

// Whose frames are in each stack, if it is whole.
OWN_FRAME void AllocateOnce(size_t number) {
  if (number % 2 == 0) {
    At<0>();
  } else {
    free(At<1>());
  }
  asm volatile("" : : : "memory");
}

std::string AwaitAgent(uint64_t end_ns) {
  std::string tid;
  while (tid.empty() && NowNs(CLOCK_MONOTONIC) < end_ns) tid = Find("/proc/self/task", IsAgent);
  return tid;
}

// CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED of a thread of this process, as the kernel defines it.
clockid_t ClockOf(const std::string& tid) {
  return static_cast<clockid_t>(~static_cast<unsigned>(atoi(tid.c_str())) << 3 | 6);
}

OWN_FRAME bool AllocateWhileItStarts(const char* run_dir) {
  const uint64_t end_ns = NowNs(CLOCK_MONOTONIC) + kPatienceNs;
  const std::string tid = AwaitAgent(end_ns);
  if (tid.empty()) return false;
  const clockid_t clock = ClockOf(tid);
  const uint64_t begin_ns = NowNs(clock);
  size_t blocks = 0;
  while (blocks < kMostBlocks && NowNs(CLOCK_MONOTONIC) < end_ns) {
    const uint64_t worked_ns = NowNs(clock) - begin_ns;
    while (blocks < worked_ns / kStepNs) AllocateOnce(blocks++);
    if (!Find(run_dir, IsSocket).empty()) return true;
  }
  return false;
}

void Tell() {
  for (size_t site = 0; site < 2; ++site) {
    printf("site %zu %zu\n", site, g_blocks[site] * kBlockBytes);
  }
  puts("ready");
  fflush(stdout);
}

}  // namespace

int main() {
  const char* const run_dir = getenv("SONDE_RUN_DIR");
  if (run_dir == nullptr || !AllocateWhileItStarts(run_dir)) {
    fputs("no thread of the agent, or no socket in SONDE_RUN_DIR within 60 s\n", stderr);
    return 1;
  }
  char line[16];
  while (fgets(line, sizeof line, stdin) != nullptr) Tell();
  return 0;
}
