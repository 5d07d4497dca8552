// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/arena.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace sonde::runtime {
namespace {

constexpr size_t kBootBytes = size_t{80} << 10;

// The boot reserve is used up first, so that the rest of a test sees slabs, and the first slab is
// there.
void UseUpBootReserve() {
  while (ArenaGetStats().mapped_bytes == 0) ASSERT_NE(ArenaAllocate(256), nullptr);
}

bool IsFilledWith(const void* block, size_t size, int value) {
  const std::string expected(size, static_cast<char>(value));
  return memcmp(block, expected.data(), size) == 0;
}

// Runs `body` in a forked child and gives its exit code.
template <typename Body>
int ExitCodeOfChild(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

class Arena : public testing::Test {
 protected:
  // What earlier tests left does not count.
  void SetUp() override {
    ArenaAfterForkInChild();
    ArenaSetCap(kDefaultArenaCapBytes);
  }
};

TEST(ArenaAtStart, MapsNothingWhileTheBootReserveLasts) {
  void* pool = ArenaAllocate(72'704);  // what libstdc++ asks for before main
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(ArenaGetStats().mapped_bytes, 0u);
  EXPECT_EQ(ArenaUsableSize(pool), 72'704u);
  EXPECT_LE(ArenaGetStats().boot_bytes, kBootBytes);
  ASSERT_NE(ArenaAllocate(16'000), nullptr);
  EXPECT_GT(ArenaGetStats().mapped_bytes, 0u);
}

TEST_F(Arena, KeepsBlocksApartAndTheirBytesIntact) {
  struct Block {
    unsigned char* start;
    size_t size;
    int fill;
  };
  std::mt19937_64 random(20'240'607);
  std::vector<Block> live;
  for (int step = 0; step < 40'000; ++step) {
    if (live.size() < 300 && random() % 2 == 0) {
      const size_t size = random() % 40 == 0 ? random() % 100'000 : random() % 700;
      const size_t alignment = size_t{16} << random() % 8;
      auto* start = static_cast<unsigned char*>(ArenaAllocate(size, alignment));
      if (start == nullptr) continue;
      ASSERT_EQ(reinterpret_cast<uintptr_t>(start) % alignment, 0u);
      ASSERT_GE(ArenaUsableSize(start), size);
      const int fill = static_cast<int>(random() % 256);
      memset(start, fill, ArenaUsableSize(start));
      live.push_back({start, ArenaUsableSize(start), fill});
    } else if (!live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      const Block& block = live.back();
      ASSERT_TRUE(IsFilledWith(block.start, block.size, block.fill))
          << block.size << " at step " << step;
      ArenaFree(live.back().start);
      live.pop_back();
    }
  }
  for (const Block& block : live) ArenaFree(block.start);
  EXPECT_EQ(ArenaGetStats().live_blocks, 0u);
  EXPECT_EQ(ArenaGetStats().ignored_frees, 0u);
}

TEST_F(Arena, GivesMemoryBackWhenItIsFreed) {
  UseUpBootReserve();
  const uint64_t before = ArenaGetStats().mapped_bytes;
  std::vector<void*> blocks;
  for (int i = 0; i < 2000; ++i) blocks.push_back(ArenaAllocate(1000));
  blocks.push_back(ArenaAllocate(3'000'000));
  EXPECT_GT(ArenaGetStats().mapped_bytes, before + 4'900'000);
  for (void* block : blocks) ArenaFree(block);
  EXPECT_LE(ArenaGetStats().mapped_bytes, before + 4 * 65'536);
  EXPECT_GT(ArenaGetStats().peak_mapped_bytes, before + 4'900'000);
}

TEST_F(Arena, RefusesAboveItsCapAndServesAgainBelow) {
  UseUpBootReserve();
  ArenaSetCap(size_t{1} << 20);
  std::vector<void*> blocks;
  while (void* block = ArenaAllocate(30'000)) blocks.push_back(block);
  EXPECT_GT(blocks.size(), 20u);
  EXPECT_LE(ArenaGetStats().mapped_bytes, uint64_t{1} << 20);
  EXPECT_EQ(ArenaGetStats().refused_over_cap, 1u) << "the one that ended the loop";
  for (void* block : blocks) ArenaFree(block);
  void* block = ArenaAllocate(900'000);
  EXPECT_NE(block, nullptr) << "empty slabs must not stand in the way of a large block";
}

TEST_F(Arena, RefusesSizesThatWouldOverflow) {
  EXPECT_EQ(ArenaAllocate(SIZE_MAX), nullptr);
  EXPECT_EQ(ArenaAllocate(SIZE_MAX - 4096, 4096), nullptr);
  EXPECT_EQ(ArenaAllocate(SIZE_MAX / 2), nullptr);
  EXPECT_EQ(ArenaAllocate(16, kArenaMaxAlignment * 2), nullptr);
}

TEST_F(Arena, ReallocateKeepsTheContentAndTheOldBlockWhenRefused) {
  char* block = static_cast<char*>(ArenaAllocate(100));
  memset(block, 'a', 100);
  block = static_cast<char*>(ArenaReallocate(block, 200'000));
  ASSERT_NE(block, nullptr);
  EXPECT_TRUE(IsFilledWith(block, 100, 'a'));
  EXPECT_EQ(ArenaReallocate(block, SIZE_MAX), nullptr);
  EXPECT_TRUE(IsFilledWith(block, 100, 'a'));
  char* small = static_cast<char*>(ArenaReallocate(block, 50));
  EXPECT_TRUE(IsFilledWith(small, 50, 'a'));
  EXPECT_LT(ArenaUsableSize(small), 200u);
  ArenaFree(small);
  EXPECT_EQ(ArenaGetStats().live_blocks, 0u);
}

TEST_F(Arena, ServesManyThreadsAtOnce) {
  auto work = [](int seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    for (int i = 0; i < 20'000; ++i) {
      const size_t size = random() % 2000;
      void* block = ArenaAllocate(size);
      memset(block, seed, size);
      EXPECT_TRUE(IsFilledWith(block, size, seed));
      ArenaFree(block);
    }
  };
  std::vector<std::thread> threads;
  for (int seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ArenaGetStats().live_blocks, 0u);
}

TEST_F(Arena, AForkedChildReadsTheParentsBlocksAndCarvesItsOwn) {
  UseUpBootReserve();
  char* inherited = static_cast<char*>(ArenaAllocate(5000));
  memset(inherited, 'p', 5000);
  const ArenaStats parent = ArenaGetStats();
  EXPECT_EQ(ExitCodeOfChild([&] {
              ArenaAfterForkInChild();
              if (ArenaGetStats().abandoned_bytes != parent.abandoned_bytes + parent.mapped_bytes) {
                return false;
              }
              char* own = static_cast<char*>(ArenaAllocate(5000));
              if (own == nullptr || ArenaGetStats().live_blocks != 1) return false;
              memset(own, 'c', 5000);
              ArenaFree(inherited);
              return IsFilledWith(inherited, 5000, 'p') && ArenaGetStats().ignored_frees == 1;
            }),
            0);
  EXPECT_EQ(ArenaGetStats().abandoned_bytes, parent.abandoned_bytes);
  ArenaFree(inherited);
}

// Forks while other threads are inside: without ArenaAfterForkInChild many children would wait for
// ever.
TEST_F(Arena, IsUsableInAChildForkedAtAnyMoment) {
  UseUpBootReserve();
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) ArenaFree(ArenaAllocate(20'000));
  });
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(ExitCodeOfChild([] {
                alarm(5);
                ArenaAfterForkInChild();
                for (size_t size = 16; size < 100'000; size *= 2) {
                  void* block = ArenaAllocate(size);
                  if (block == nullptr) return false;
                  memset(block, 1, size);
                  ArenaFree(block);
                }
                return true;
              }),
              0);
  }
  stop = true;
  other.join();
}

void AllocateInHandler(int) { ArenaFree(ArenaAllocate(64)); }

TEST_F(Arena, TurnsAwayASignalHandlerThatInterruptsIt) {
  UseUpBootReserve();
  struct sigaction action = {};
  action.sa_handler = AllocateInHandler;
  ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
  const itimerval often = {{0, 50}, {0, 50}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (ArenaGetStats().refused_reentry == 0 && std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 1000; ++i) ArenaFree(ArenaAllocate(20'000));
  }
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  EXPECT_GT(ArenaGetStats().refused_reentry, 0u);
}

TEST_F(Arena, NamesItsMappingsOnlyWhenTold) {
  auto named = [] {
    std::string maps(1 << 20, '\0');
    FILE* file = fopen("/proc/self/maps", "r");
    maps.resize(fread(maps.data(), 1, maps.size(), file));
    fclose(file);
    return maps.find("[anon:sonde arena]") != std::string::npos;
  };
  UseUpBootReserve();
  EXPECT_FALSE(named());
  ArenaNameMappings(true);
  void* block = ArenaAllocate(100'000);
  ASSERT_NE(block, nullptr);
  // CONFIG_ANON_VMA_NAME may be off: then the kernel ignores the name, and the block serves all the
  // same.
  memset(block, 1, 100'000);
  RecordProperty("named", named());
}

}  // namespace
}  // namespace sonde::runtime
