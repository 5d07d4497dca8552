// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "collectors/safe/heap_filter.h"

namespace sonde {
namespace {

class HeapFilterTest : public testing::Test {
 protected:
  std::unique_ptr<HeapFilter> filter_ = std::make_unique<HeapFilter>();
};

TEST_F(HeapFilterTest, HoldsWhatWasAddedAndNothingElse) {
  EXPECT_FALSE(filter_->MayHold(0x5000'0010));
  filter_->Add(0x5000'0010);
  EXPECT_TRUE(filter_->MayHold(0x5000'0010));
  EXPECT_FALSE(filter_->MayHold(0x5000'0020));
  filter_->Remove(0x5000'0010);
  EXPECT_FALSE(filter_->MayHold(0x5000'0010));
}

TEST_F(HeapFilterTest, CountsBlocksThatShareAByte) {
  constexpr uintptr_t kApart = kHeapFilterBytes * 16;
  filter_->Add(0x7000'0040);
  filter_->Add(0x7000'0040 + kApart);
  filter_->Remove(0x7000'0040);
  EXPECT_TRUE(filter_->MayHold(0x7000'0040 + kApart));
  filter_->Remove(0x7000'0040 + kApart);
  EXPECT_FALSE(filter_->MayHold(0x7000'0040));
}

TEST_F(HeapFilterTest, AByteThatIsFullNeverLosesABlock) {
  for (int i = 0; i < 1000; ++i) filter_->Add(0x40);
  for (int i = 0; i < 999; ++i) filter_->Remove(0x40);
  EXPECT_TRUE(filter_->MayHold(0x40));
  filter_->Clear();
  EXPECT_FALSE(filter_->MayHold(0x40));
}

TEST_F(HeapFilterTest, NothingIsLeftAfterThreadsThatAddAndRemove) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 300'000; ++i) {
        filter_->Add(0x100);
        filter_->Remove(0x100);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(filter_->MayHold(0x100));
}

}  // namespace
}  // namespace sonde
