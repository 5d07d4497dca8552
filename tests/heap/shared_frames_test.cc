// SPDX-License-Identifier: Apache-2.0
#include "collectors/shared_frames.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "collectors/fold_stacks.h"

namespace sonde {
namespace {

TEST(SharedFrames, HasWhatItWasMadeOf) {
  const std::vector<uint64_t> frames = {3, 2, 1};
  const SharedFrames shared{std::span(frames)};
  EXPECT_EQ(std::vector<uint64_t>(shared.begin(), shared.end()), frames);
  EXPECT_EQ(shared.size(), 3U);
  EXPECT_EQ(shared[0], 3U);
}

TEST(SharedFrames, OfNothingIsEmptyAndHoldsNoMemory) {
  const SharedFrames none;
  const SharedFrames no_frames{std::span<const uint64_t>()};
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(no_frames.empty());
  EXPECT_EQ(no_frames.data(), nullptr);
  EXPECT_EQ(none.begin(), none.end());
  EXPECT_EQ(none, no_frames);
}

// Under the address sanitizer, also that nothing is freed twice or used after.
TEST(SharedFrames, LivesAsLongAsItsLastHolder) {
  auto first = std::make_unique<SharedFrames>(SharedFrames{1, 2});
  SharedFrames second = *first;
  EXPECT_EQ(second.data(), first->data()) << "a copy shares";
  SharedFrames third = std::move(*first);
  EXPECT_TRUE(first->empty());
  first.reset();
  third = SharedFrames{9};
  const SharedFrames& itself = second;
  second = itself;
  EXPECT_EQ(second, (SharedFrames{1, 2}));
  EXPECT_EQ(third, (SharedFrames{9}));
}

TEST(SharedFrames, AreOrderedByTheirAddresses) {
  EXPECT_LT((SharedFrames{1}), (SharedFrames{1, 0}));
  EXPECT_LT((SharedFrames{1, 5}), (SharedFrames{2}));
  EXPECT_LT(SharedFrames(), (SharedFrames{0}));
}

TEST(SharedFrames, OutliveTheTableThatTheyWereIn) {
  SharedFrames kept;
  {
    InternedStacks stacks;
    const std::vector<uint64_t> frames = {7, 8, 9};
    const uint32_t id = stacks.Intern(frames, 0, 42);
    kept = stacks.Share(id);
    EXPECT_EQ(kept.data(), stacks.frames(id).data());
    stacks.Release(id);
    EXPECT_EQ(stacks.memory_bytes(), 0U);
    EXPECT_EQ(stacks.Intern(std::vector<uint64_t>{1, 1, 1}, 0, 43), id) << "used again";
  }
  EXPECT_EQ(kept, (SharedFrames{7, 8, 9}));
}

}  // namespace
}  // namespace sonde
