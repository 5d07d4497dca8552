// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/thread_table.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

class ThreadTableTest : public ::testing::Test {
 protected:
  ThreadId ClaimNew(int32_t tid) { return ClaimNewThread(*region_, region_.process(), tid, 1); }
  void Free(ThreadId id) {
    MarkThreadGone(*region_, id);
    FreeThread(*region_, id.slot);
  }

  RegionForTesting region_;
};

TEST_F(ThreadTableTest, AThreadThatIsThereIsFoundAgain) {
  const ThreadId first = region_.Thread(7);
  const ThreadId again = region_.Thread(7);
  EXPECT_EQ(first.slot, again.slot);
  EXPECT_EQ(first.generation, again.generation);
}

TEST_F(ThreadTableTest, ANewThreadNeverGetsTheSlotOfAnEarlierOneWithItsTid) {
  const ThreadId old = ClaimNew(7);
  const ThreadId young = ClaimNew(7);
  EXPECT_NE(old.slot, young.slot);
}

TEST_F(ThreadTableTest, SlotsInUseStayCloseTogether) {
  for (int32_t round = 0; round < 10'000; ++round) {
    const ThreadId a = ClaimNew(round + 1);
    const ThreadId b = ClaimNew(round + 100'000);
    Free(a);
    Free(b);
  }
  EXPECT_LE(UsedThreadSlots(*region_), 4u);
}

TEST_F(ThreadTableTest, EverySlotCanBeHadAndAFullTableSaysSo) {
  const uint32_t count = (*region_).counts.threads;
  std::set<uint32_t> slots;
  for (uint32_t i = 0; i < count; ++i) slots.insert(ClaimNew(static_cast<int32_t>(i) + 1).slot);
  EXPECT_EQ(slots.size(), count);
  EXPECT_FALSE(ClaimNew(1 << 20).valid);
  Free(region_.Thread(3));
  Free(region_.Thread(1000));
  EXPECT_TRUE(ClaimNew(1 << 20).valid);
  EXPECT_TRUE(ClaimNew(1 << 21).valid);
  EXPECT_FALSE(ClaimNew(1 << 22).valid);
}

// Another process may have written it.
TEST_F(ThreadTableTest, ACursorBeyondTheTableDoesNoHarm) {
  (*region_).header->thread_cursor.Store(~0u);
  EXPECT_TRUE(ClaimNew(1).valid);
  EXPECT_TRUE(ClaimNew(2).valid);
}

}  // namespace
}  // namespace sonde
