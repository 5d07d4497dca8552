// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/rings.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "collectors/ring_watch.h"

namespace sonde {
namespace {

// Code that is only looked at: a page, with nothing readable before and behind it.
class RingsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto size = static_cast<size_t>(getpagesize());
    void* const at = mmap(nullptr, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(at, MAP_FAILED);
    code_ = static_cast<uint8_t*>(at) + size;
    ASSERT_EQ(mprotect(code_, size, PROT_READ | PROT_WRITE), 0);
  }

  // mov $number, %eax; `between` bytes; syscall. The address behind it.
  uint8_t* WriteCall(size_t offset, uint32_t number, size_t between) {
    uint8_t* at = code_ + offset;
    *at++ = 0xB8;
    memcpy(at, &number, sizeof number);
    at += sizeof number + between;
    *at++ = 0x0F;
    *at++ = 0x05;
    return at;
  }

  ucontext_t After(const uint8_t* pc) {
    ucontext_t context{};
    context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(pc);
    context.uc_mcontext.gregs[REG_RCX] = reinterpret_cast<greg_t>(pc);
    context.uc_mcontext.gregs[REG_RSP] = reinterpret_cast<greg_t>(&return_address_);
    return context;
  }

  uint8_t* code_ = nullptr;
  uintptr_t return_address_ = 0;
};

TEST_F(RingsTest, SeesTheNumberBeforeTheCall) {
  EXPECT_TRUE(CameOutOfRing(After(WriteCall(1000, kRingEnter, 0))));
  EXPECT_TRUE(CameOutOfRing(After(WriteCall(1200, kRingEnter, 50))));
}

TEST_F(RingsTest, SeesNoOtherNumberAndNoneThatIsFarAway) {
  EXPECT_FALSE(CameOutOfRing(After(WriteCall(1000, 232, 0))));
  EXPECT_FALSE(CameOutOfRing(After(WriteCall(1200, kRingEnter, 100))));
}

TEST_F(RingsTest, SeesNothingWhereNoSystemCallWasInterrupted) {
  ucontext_t context = After(WriteCall(1000, kRingEnter, 0));
  context.uc_mcontext.gregs[REG_RCX] = 1;
  EXPECT_FALSE(CameOutOfRing(context));
}

TEST_F(RingsTest, SeesTheNumberThatTheCallerGaveToLibc) {
  return_address_ = reinterpret_cast<uintptr_t>(WriteCall(2000, kRingEnter, 3));
  EXPECT_TRUE(CameOutOfRing(After(WriteCall(1000, 0, 0))));
}

// The page before may go at any time.
TEST_F(RingsTest, LooksBackOnThePageThatRunsOnly) {
  EXPECT_TRUE(CameOutOfRing(After(WriteCall(0, kRingEnter, 0))));
  const uint8_t* const call = WriteCall(1000, kRingEnter, 0);
  const auto page = reinterpret_cast<uintptr_t>(call) & ~uintptr_t{4095};
  EXPECT_FALSE(CameOutOfRing(After(reinterpret_cast<const uint8_t*>(page + 4096))));
}

TEST_F(RingsTest, ReadsNoPageThatIsNotThere) {
  EXPECT_FALSE(CameOutOfRing(After(nullptr)));
  EXPECT_FALSE(CameOutOfRing(After(code_ - 1)));
  ucontext_t context = After(WriteCall(1000, 0, 0));
  for (const greg_t sp : {greg_t{0}, greg_t{-8}, greg_t{1} << 60}) {
    context.uc_mcontext.gregs[REG_RSP] = sp;
    EXPECT_FALSE(CameOutOfRing(context));
  }
  for (const uintptr_t address : {~uintptr_t{0}, uintptr_t{1}, uintptr_t{1} << 60}) {
    return_address_ = address;
    EXPECT_FALSE(CameOutOfRing(After(WriteCall(1000, 0, 0))));
  }
}

TEST(RingWatchTest, KnowsAMappingByItsName) {
  EXPECT_TRUE(
      IsMappingOfRing("7f12a000-7f12b000 rw-s 10000000 00:0f 2057     anon_inode:[io_uring]"));
  EXPECT_FALSE(
      IsMappingOfRing("7f12a000-7f12b000 rw-s 00000000 00:0f 2057     anon_inode:[perf_event]"));
  EXPECT_FALSE(IsMappingOfRing("7f12a000-7f12b000 rw-p 00000000 08:01 5 /x/anon_inode:[io_uring]"));
  EXPECT_FALSE(IsMappingOfRing(""));
}

TEST(RingWatchTest, FindsNoRingWhereThereIsNone) {
  RingWatch watch(gettid());
  for (uint64_t now_ns = 1; now_ns < 1'000'000'000'000; now_ns += 1'000'000'000) watch.Tick(now_ns);
  EXPECT_FALSE(ProcessHasRing());
}

}  // namespace
}  // namespace sonde
