// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include <fstream>

#include "collectors/memory_page_survey.h"

namespace sonde {
namespace {

constexpr uint64_t kMiB = 1 << 20;

uint64_t AddressOf(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

class Mapping {
 public:
  explicit Mapping(size_t bytes, int flags = MAP_PRIVATE, int protection = PROT_READ | PROT_WRITE)
      : bytes_(bytes),
        at_(static_cast<char*>(mmap(nullptr, bytes, protection, flags | MAP_ANONYMOUS, -1, 0))) {
    madvise(at_, bytes, MADV_NOHUGEPAGE);
  }
  ~Mapping() { munmap(at_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] char* at() const { return at_; }
  [[nodiscard]] uint64_t low() const { return AddressOf(at_); }

 private:
  size_t bytes_;
  char* at_;
};

TEST(ResidentPages, CountsWhatWasTouched) {
  const Mapping mapping(64 * kMiB);
  memset(mapping.at(), 1, 5 * kMiB);
  ResidentPages pages;
  ASSERT_TRUE(pages.exact());
  PageCounts counts;
  EXPECT_EQ(pages.Count(mapping.low(), mapping.low() + 64 * kMiB, {}, &counts),
            mapping.low() + 64 * kMiB);
  EXPECT_EQ(counts.present, 5 * kMiB);
  EXPECT_EQ(counts.file, 0u);
  EXPECT_EQ(counts.ambiguous, 0u);
}

TEST(ResidentPages, PagesThatWereOnlyReadAreAmbiguous) {
  const Mapping mapping(kMiB);
  volatile char sink = 0;
  for (size_t at = 0; at < kMiB; at += 4096) sink = sink + mapping.at()[at];
  ResidentPages pages;
  PageCounts counts;
  pages.Count(mapping.low(), mapping.low() + kMiB, {}, &counts);
  EXPECT_EQ(counts.present, kMiB);
  EXPECT_EQ(counts.ambiguous, kMiB);
}

TEST(ResidentPages, WithoutPagemapCountsWhatWasTouchedAllTheSame) {
  const Mapping mapping(64 * kMiB);
  memset(mapping.at() + kMiB, 1, 5 * kMiB);
  ResidentPages pages;
  pages.ForgetForTesting();
  ASSERT_FALSE(pages.exact());
  PageCounts counts;
  EXPECT_EQ(pages.Count(mapping.low(), mapping.low() + 64 * kMiB, {}, &counts),
            mapping.low() + 64 * kMiB);
  EXPECT_EQ(counts.present, 5 * kMiB);
  EXPECT_EQ(pages.PresentUntil(mapping.low(), mapping.low() + kMiB), mapping.low());
  const uint64_t touched = mapping.low() + kMiB;
  EXPECT_EQ(pages.PresentUntil(touched, touched + 8192), touched + 8192);
}

TEST(ResidentPages, StopsWhereTheBudgetEnds) {
  const Mapping mapping(256 * kMiB);
  ResidentPages pages;
  PageCounts counts;
  const uint64_t stopped =
      pages.Count(mapping.low(), mapping.low() + 256 * kMiB, {.deadline_ns = 1}, &counts);
  EXPECT_LT(stopped, mapping.low() + 256 * kMiB);
  EXPECT_GT(stopped, mapping.low());
  const uint64_t wanted_elsewhere = pages.Count(mapping.low(), mapping.low() + 256 * kMiB,
                                                {.must_stop = [] { return true; }}, &counts);
  EXPECT_EQ(wanted_elsewhere, stopped);
}

TEST(KindOf, EachSortOfLine) {
  EXPECT_EQ(KindOf("", false, 0), RegionKind::kAnonymous);
  EXPECT_EQ(KindOf("[anon:partition_alloc]", false, 0), RegionKind::kAnonymous);
  EXPECT_EQ(KindOf("[heap]", false, 0), RegionKind::kBrk);
  EXPECT_EQ(KindOf("", true, 0), RegionKind::kShared);
  EXPECT_EQ(KindOf("/dev/zero (deleted)", true, 7), RegionKind::kShared);
  EXPECT_EQ(KindOf("/memfd:x (deleted)", true, 7), RegionKind::kShared);
  EXPECT_EQ(KindOf("/dev/shm/PostgreSQL.12", true, 7), RegionKind::kShared);
  EXPECT_EQ(KindOf("/SYSV0052e2c1 (deleted)", true, 3), RegionKind::kShared);
  EXPECT_EQ(KindOf("/usr/lib/libc.so.6", false, 9), RegionKind::kFile);
  EXPECT_EQ(KindOf("[stack]", false, 0), RegionKind::kStack);
  EXPECT_EQ(KindOf("[vdso]", false, 0), RegionKind::kIgnored);
  EXPECT_EQ(KindOf("/dev/nvidia0", true, 4), RegionKind::kIgnored);
}

// The sanitizer's shadow of 15 TiB or more grows during the survey, and is looked through page by
// page; the thread sanitizer's for longer than a test may take.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHasShadow = true;
#else
constexpr bool kHasShadow = false;
#endif

TEST(SurveyMemory, PartsAddUpToWhatTheKernelCalls_RSS) {
  if (kHasShadow) GTEST_SKIP() << "the memory of this test is the sanitizer's";
  const Mapping anonymous(40 * kMiB);
  memset(anonymous.at(), 1, 40 * kMiB);
  const Mapping shared(20 * kMiB, MAP_SHARED);
  memset(shared.at(), 1, 20 * kMiB);
  ProcessMemory memory;
  ResidentPages pages;
  const Survey survey = SurveyMemory(memory, &pages, {});
  ASSERT_EQ(survey.problem, "");
  const MappedMemory& mapped = survey.mapped;
  EXPECT_GE(mapped.anonymous, 40 * kMiB);
  EXPECT_LT(mapped.anonymous, 48 * kMiB);
  EXPECT_GE(mapped.shared, 20 * kMiB);
  uint64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  const double sum = static_cast<double>(mapped.anonymous + mapped.shared + mapped.files +
                                         mapped.stacks + mapped.agent);
  EXPECT_NEAR(sum, static_cast<double>(resident) * 4096, 0.03 * sum);
}

TEST(SurveyMemory, WithoutPagemapPartsAddUpToo) {
  if (kHasShadow) GTEST_SKIP() << "the sanitizer's own is looked through, too";
  const Mapping anonymous(40 * kMiB);
  memset(anonymous.at(), 1, 40 * kMiB);
  ProcessMemory memory;
  ResidentPages exact, pages;
  pages.ForgetForTesting();
  const Survey survey = SurveyMemory(memory, &pages, {});
  const MappedMemory& mapped = survey.mapped;
  EXPECT_EQ(survey.problem, "");
  EXPECT_NE(survey.note.find("pagemap cannot be read"), std::string::npos);
  EXPECT_NEAR(static_cast<double>(mapped.anonymous),
              static_cast<double>(SurveyMemory(memory, &exact, {}).mapped.anonymous), 1 << 20);
  uint64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  const double sum = static_cast<double>(mapped.anonymous + mapped.shared + mapped.files +
                                         mapped.stacks + mapped.agent);
  EXPECT_NEAR(sum, static_cast<double>(resident) * 4096, 0.03 * sum);
}

TEST(SurveyMemory, AReservationCostsNothing) {
  if (kHasShadow) GTEST_SKIP() << "the sanitizer's own is looked through, too";
  const Mapping reservation(size_t{1} << 40, MAP_PRIVATE | MAP_NORESERVE, PROT_NONE);
  ProcessMemory memory;
  ResidentPages pages;
  const uint64_t begin_ns = ThreadCpuNs();
  const Survey survey = SurveyMemory(memory, &pages, {});
  EXPECT_EQ(survey.mapped.unread_bytes, 0u);
  EXPECT_LT(ThreadCpuNs() - begin_ns, 500'000'000u);
}

TEST(SurveyMemory, WhatTheBudgetDidNotSufficeForIsToldApart) {
  const Mapping large(size_t{1} << 36, MAP_PRIVATE | MAP_NORESERVE);
  ProcessMemory memory;
  ResidentPages pages;
  SurveyOptions options;
  options.budget.deadline_ns = ThreadCpuNs() + 5'000'000;
  EXPECT_GT(SurveyMemory(memory, &pages, options).mapped.unread_bytes, uint64_t{1} << 35);
}

// A thread that blocks shows its stack pointer; its stack has a guard below.
TEST(SurveyMemory, ThreadStacksAreToldFromOtherMemory) {
  if (kHasShadow) GTEST_SKIP() << "the sanitizer's own is looked through, too";
  struct Shared {
    pthread_barrier_t begun, ended;
    uint64_t stack_pointer = 0;
  } shared;
  pthread_barrier_init(&shared.begun, nullptr, 2);
  pthread_barrier_init(&shared.ended, nullptr, 2);
  const auto run = [](void* argument) -> void* {
    auto* with = static_cast<Shared*>(argument);
    volatile char used[512 << 10];
    for (size_t at = 0; at < sizeof(used); at += 4096) used[at] = 1;
    with->stack_pointer = AddressOf(__builtin_frame_address(0));
    pthread_barrier_wait(&with->begun);
    pthread_barrier_wait(&with->ended);
    return nullptr;
  };
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 3 * kMiB);
  pthread_t first, second;
  Shared other = {};
  pthread_barrier_init(&other.begun, nullptr, 2);
  pthread_barrier_init(&other.ended, nullptr, 2);
  ASSERT_EQ(pthread_create(&first, &attributes, run, &shared), 0);
  ASSERT_EQ(pthread_create(&second, &attributes, run, &other), 0);
  pthread_barrier_wait(&shared.begun);
  pthread_barrier_wait(&other.begun);
  ProcessMemory memory;
  ResidentPages pages;
  SurveyOptions options;
  const uint64_t without = SurveyMemory(memory, &pages, options).mapped.stacks;
  // One of the two runs, so only the other's pointer is known: the sizes are alike.
  options.stack_pointers = {shared.stack_pointer};
  const Survey survey = SurveyMemory(memory, &pages, options);
  EXPECT_GE(survey.mapped.stacks, without + kMiB);
  EXPECT_LT(survey.mapped.stacks, without + 2 * kMiB);
  options.stack_pointers.clear();
  options.agent_stacks = {shared.stack_pointer};
  EXPECT_GE(SurveyMemory(memory, &pages, options).mapped.agent, 512u << 10);
  pthread_barrier_wait(&shared.ended);
  pthread_barrier_wait(&other.ended);
  pthread_join(first, nullptr);
  pthread_join(second, nullptr);
}

}  // namespace
}  // namespace sonde
