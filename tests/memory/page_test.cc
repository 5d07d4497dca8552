// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "collectors/memory_page.h"

namespace sonde {
namespace {

constexpr uint64_t kMiB = 1 << 20;

MemoryFacts Ordinary() {
  MemoryFacts facts;
  facts.rss = 415 * kMiB;
  facts.mapped.anonymous = 358 * kMiB;
  facts.mapped.files = 41 * kMiB;
  facts.mapped.stacks = 9 * kMiB;
  facts.mapped.agent = 3 * kMiB;
  AllocatorNumbers glibc;
  glibc.name = "glibc";
  glibc.counted = true;
  glibc.resident = 328 * kMiB;
  glibc.in_use = 312 * kMiB;
  glibc.free = 16 * kMiB;
  facts.allocators = {glibc};
  return facts;
}

int64_t Sum(const MemoryPage& page) {
  return std::accumulate(page.parts.begin(), page.parts.end(), int64_t{0});
}

int64_t InMiB(const MemoryPage& page, MemoryPart part) {
  return page.Part(part) / static_cast<int64_t>(kMiB);
}

TEST(MemoryPage, PartsAreWhatWasRead) {
  const MemoryPage page = MakeMemoryPage(Ordinary());
  EXPECT_EQ(InMiB(page, MemoryPart::kLiveHeap), 312);
  EXPECT_EQ(InMiB(page, MemoryPart::kAllocatorFree), 16);
  EXPECT_EQ(InMiB(page, MemoryPart::kAllocatorExtra), 0);
  EXPECT_EQ(InMiB(page, MemoryPart::kServiceMmap), 30);
  EXPECT_EQ(InMiB(page, MemoryPart::kCodeAndFiles), 41);
  EXPECT_EQ(InMiB(page, MemoryPart::kThreadStacks), 9);
  EXPECT_EQ(InMiB(page, MemoryPart::kAgent), 3);
  EXPECT_EQ(InMiB(page, MemoryPart::kUnexplained), 4);
  EXPECT_FALSE(page.live_is_sampled);
  EXPECT_EQ(page.verdict, MemoryVerdict::kNothingUnusual);
}

TEST(MemoryPage, SampledLiveHeapLeavesTheRestToTheAllocator) {
  MemoryFacts facts = Ordinary();
  facts.live = {.sampled = true, .bytes = 214 * kMiB, .error_bytes = 20 * kMiB};
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(InMiB(page, MemoryPart::kLiveHeap), 214);
  EXPECT_EQ(InMiB(page, MemoryPart::kAllocatorExtra), 98);
  EXPECT_TRUE(page.live_is_sampled);
  EXPECT_EQ(Sum(page), static_cast<int64_t>(facts.rss));
}

TEST(MemoryPage, MemoryThatWasNeverTouchedIsNoPartOfTheRss) {
  MemoryFacts facts = Ordinary();
  facts.live = {.sampled = true, .bytes = 1312 * kMiB, .error_bytes = 20 * kMiB};
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(InMiB(page, MemoryPart::kLiveHeap), 312);
  EXPECT_EQ(page.live_not_in_memory, static_cast<int64_t>(1000 * kMiB));
  EXPECT_EQ(Sum(page), static_cast<int64_t>(facts.rss));
}

// Whatever is read, in whatever disorder: the sum is the RSS, and what cannot be is unexplained.
TEST(MemoryPage, PartsSumUpToTheRssWhateverWasRead) {
  std::mt19937_64 random(20261121);
  const auto any = [&random] { return (random() % 1000) * kMiB; };
  for (int round = 0; round < 20'000; ++round) {
    MemoryFacts facts;
    facts.rss = any();
    facts.mapped.anonymous = any();
    facts.mapped.shared = any() / 8;
    facts.mapped.files = any() / 8;
    facts.mapped.stacks = any() / 8;
    facts.mapped.agent = any() / 64;
    facts.mapped.ambiguous = random() % (facts.mapped.anonymous + 1);
    facts.live = {.sampled = random() % 2 == 0, .bytes = any(), .error_bytes = any() / 8};
    for (uint64_t i = random() % 3; i > 0; --i) {
      AllocatorNumbers one;
      one.counted = random() % 4 != 0;
      one.resident = any();
      one.in_use = any();
      one.free = any();
      facts.allocators.push_back(one);
    }
    const MemoryPage page = MakeMemoryPage(facts);
    ASSERT_EQ(Sum(page), static_cast<int64_t>(facts.rss)) << "round " << round;
    for (size_t part = 0; part + 1 < kMemoryParts; ++part)
      ASSERT_GE(page.parts[part], 0) << "round " << round << ", part " << part;
  }
}

TEST(MemoryPage, ZeroPagesThatNoRssCountsAreLeftOut) {
  MemoryFacts facts = Ordinary();
  facts.mapped.anonymous += 200 * kMiB;
  facts.mapped.ambiguous = 200 * kMiB;
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(InMiB(page, MemoryPart::kServiceMmap), 34);
  EXPECT_EQ(page.Part(MemoryPart::kUnexplained), 0);
}

TEST(MemoryPage, PagesSharedAfterAForkCount) {
  MemoryFacts facts = Ordinary();
  facts.mapped.ambiguous = 300 * kMiB;
  EXPECT_EQ(InMiB(MakeMemoryPage(facts), MemoryPart::kServiceMmap), 30);
}

TEST(MemoryPage, WarnsWhenMoreThanAFewPercentAreUnexplained) {
  MemoryFacts facts = Ordinary();
  facts.rss = 500 * kMiB;
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(page.verdict, MemoryVerdict::kUnexplained);
  EXPECT_NEAR(page.unexplained_share, 89.0 / 500, 1e-9);
  EXPECT_NE(page.verdict_text.find("89 MiB"), std::string::npos) << page.verdict_text;
}

TEST(MemoryPage, ACountThatIsTooHighIsUnexplainedToo) {
  MemoryFacts facts = Ordinary();
  facts.rss = 300 * kMiB;
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(InMiB(page, MemoryPart::kUnexplained), -111);
  EXPECT_EQ(page.verdict, MemoryVerdict::kUnexplained);
}

TEST(MemoryPage, AHoardingAllocatorIsNoLeak) {
  MemoryFacts facts = Ordinary();
  facts.allocators[0].in_use = 200 * kMiB;
  facts.allocators[0].free = 128 * kMiB;
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(page.verdict, MemoryVerdict::kAllocatorKeeps);
  EXPECT_EQ(page.verdict_text, "the allocator keeps 128 MiB (not a leak)");
}

TEST(MemoryPage, CgroupAddsUp) {
  MemoryFacts facts = Ordinary();
  facts.cgroup.version = 2;
  facts.cgroup.current = 429 * kMiB;
  facts.cgroup.file = 53 * kMiB;
  facts.cgroup.file_mapped = 41 * kMiB;
  facts.cgroup.kernel = 2 * kMiB;
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(page.cgroup.page_cache, static_cast<int64_t>(12 * kMiB));
  EXPECT_EQ(page.cgroup.other, 0);
  EXPECT_EQ(static_cast<int64_t>(facts.rss) + page.cgroup.page_cache + page.cgroup.kernel +
                page.cgroup.other,
            static_cast<int64_t>(facts.cgroup.current));
}

TEST(MemoryPage, NearTheLimitOnlyWhatTheKernelCannotDropCounts) {
  MemoryFacts facts = Ordinary();
  facts.cgroup.version = 2;
  facts.cgroup.current = 480 * kMiB;
  facts.cgroup.limit = 500 * kMiB;
  EXPECT_EQ(MakeMemoryPage(facts).verdict, MemoryVerdict::kLiveHeap);
  facts.cgroup.file = 200 * kMiB;
  EXPECT_EQ(MakeMemoryPage(facts).verdict, MemoryVerdict::kNothingUnusual);
  facts.cgroup.file = 300 * kMiB;
  EXPECT_EQ(MakeMemoryPage(facts).verdict, MemoryVerdict::kPageCache);
}

// 200 MiB in a tmpfs are no page cache, and nothing drops them; what processes share by mapping it
// is not in question.
TEST(MemoryPage, FilesInMemoryAreNoPageCache) {
  MemoryFacts facts = Ordinary();
  facts.cgroup.version = 2;
  facts.cgroup.current = 480 * kMiB;
  facts.cgroup.limit = 500 * kMiB;
  facts.cgroup.file = 300 * kMiB;
  facts.cgroup.file_mapped = facts.mapped.files;
  facts.cgroup.file_lists = 100 * kMiB;
  facts.cgroup.has_lists = true;
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(page.cgroup.tmpfs, static_cast<int64_t>(200 * kMiB));
  EXPECT_EQ(page.cgroup.page_cache, static_cast<int64_t>(100 * kMiB - facts.mapped.files));
  EXPECT_NE(page.verdict, MemoryVerdict::kPageCache);
  facts.cgroup.file_mapped = facts.mapped.files + 200 * kMiB;
  EXPECT_EQ(MakeMemoryPage(facts).cgroup.tmpfs, 0);
}

// Without a limit there is nothing that the page cache could use up.
TEST(MemoryPage, PageCacheIsNoVerdictWithoutALimit) {
  MemoryFacts facts = Ordinary();
  facts.cgroup.version = 2;
  facts.cgroup.current = 4000 * kMiB;
  facts.cgroup.file = 3500 * kMiB;
  EXPECT_EQ(MakeMemoryPage(facts).verdict, MemoryVerdict::kNothingUnusual);
}

TEST(MemoryPage, AnAllocatorThatCannotBeAskedIsNamed) {
  MemoryFacts facts = Ordinary();
  facts.allocators[0].counted = false;
  facts.allocators[0].problem = "it exports nothing that could be asked";
  const MemoryPage page = MakeMemoryPage(facts);
  EXPECT_EQ(page.verdict, MemoryVerdict::kNotCovered);
  EXPECT_EQ(page.verdict_text, "not covered: glibc: it exports nothing that could be asked");
  EXPECT_EQ(InMiB(page, MemoryPart::kServiceMmap), 358);
}

}  // namespace
}  // namespace sonde
