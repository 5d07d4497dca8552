// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "collectors/allocator_detect.h"

namespace sonde {
namespace {

DetectedAllocator Found(AllocatorKind kind, const char* object, bool serves, bool hidden) {
  DetectedAllocator one;
  one.kind = kind;
  one.object = object;
  one.serves_malloc = serves;
  one.hidden = hidden;
  return one;
}

TEST(AllocatorDetector, FindsGlibcInAnOrdinaryProgram) {
  const ProcessMemory memory;
  const DetectedAllocators detected = AllocatorDetector(memory).Detect();
  const auto glibc =
      std::find_if(detected.all.begin(), detected.all.end(),
                   [](const DetectedAllocator& one) { return one.kind == AllocatorKind::kGlibc; });
  ASSERT_NE(glibc, detected.all.end());
  EXPECT_NE(glibc->object.find("libc.so.6"), std::string::npos) << glibc->object;
}

TEST(LinkedObjects, FindsWhatTheLoaderFinds) {
  const ProcessMemory memory;
  const LinkedObjects objects(memory);
  ASSERT_GE(objects.objects().size(), 3u);
  uint64_t found = 0;
  for (const LinkedObject& object : objects.objects()) {
    if (object.name.find("libc.so.6") == std::string::npos) continue;
    found = objects.Find(object, "getpid").value_or(0);
    EXPECT_FALSE(objects.Find(object, "no_such_function_of_libc"));
  }
  EXPECT_EQ(found, reinterpret_cast<uint64_t>(&getpid));
}

TEST(AllocatorsNamedIn, KnowsEachByItsTexts) {
  EXPECT_TRUE(AllocatorsNamedIn("ordinary text about malloc").empty());
  EXPECT_EQ(AllocatorsNamedIn("x<jemalloc>: Error in atexit()"),
            std::vector{AllocatorKind::kJemalloc});
  EXPECT_EQ(AllocatorsNamedIn("TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD"),
            std::vector{AllocatorKind::kGperftools});
  EXPECT_EQ(AllocatorsNamedIn("mimalloc: error: %s"), std::vector{AllocatorKind::kMimalloc});
}

TEST(NotCoveredSentences, SaysWhoIsAheadAndWhatIsHidden) {
  DetectedAllocators detected;
  detected.all = {Found(AllocatorKind::kJemalloc, "/lib/libjemalloc.so.2", true, false)};
  EXPECT_TRUE(NotCoveredSentences(detected).empty());
  detected.hooks_bypassed = true;
  const auto ahead = NotCoveredSentences(detected);
  ASSERT_EQ(ahead.size(), 1u);
  EXPECT_NE(ahead[0].find("name libsonde.so first in LD_PRELOAD"), std::string::npos) << ahead[0];
  detected.all = {Found(AllocatorKind::kMimalloc, "the program", true, true)};
  const auto hidden = NotCoveredSentences(detected);
  ASSERT_EQ(hidden.size(), 2u);
  EXPECT_EQ(hidden[0].find("LD_PRELOAD"), std::string::npos) << hidden[0];
  EXPECT_NE(hidden[1].find("exports none"), std::string::npos) << hidden[1];
}

}  // namespace
}  // namespace sonde
