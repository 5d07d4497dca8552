// SPDX-License-Identifier: Apache-2.0
// The agent's arena is capped, so any allocation may fail. Here every one does in turn: the builder
// must come through with what it had, and give the right bytes afterwards.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "profile/decode.h"
#include "profile/profile_builder.h"

namespace {

thread_local long failing_allocation = -1;  // counts down to the one that fails; below 0: none does

void* Allocate(size_t size) {
  if (failing_allocation >= 0 && failing_allocation-- == 0) throw std::bad_alloc();
  if (void* block = malloc(size)) return block;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* block) noexcept { free(block); }
void operator delete[](void* block) noexcept { free(block); }
void operator delete(void* block, size_t) noexcept { free(block); }
void operator delete[](void* block, size_t) noexcept { free(block); }

namespace sonde {
namespace {

constexpr long kEnough = 2000;

// Runs `action` with the n-th allocation failing, for n = 0, 1, … until it succeeds; how often it
// failed.
template <class Action>
long FailEach(Action action) {
  for (long n = 0; n < kEnough; ++n) {
    failing_allocation = n;
    try {
      action();
      failing_allocation = -1;
      return n;
    } catch (const std::bad_alloc&) {
      failing_allocation = -1;
    }
  }
  return kEnough;
}

class OutOfMemory : public testing::Test {
 protected:
  static ProfileOptions Options() {
    ProfileOptions options;
    options.sample_types = {{"cpu", "nanoseconds"}};
    return options;
  }
  static bool Add(ProfileBuilder* builder, uint64_t address) {
    const uint64_t frames[] = {address, address + 100};
    const int64_t values[] = {5};
    const std::string_view leaf[] = {"[a frame with a name that is not short]"};
    const SampleLabel labels[] = {{"thread", "a thread with a name that is not short", 0, ""}};
    SampleInput input;
    input.frames = frames;
    input.values = values;
    input.leaf_names = leaf;
    input.labels = labels;
    return builder->AddSample(input);
  }
};

TEST_F(OutOfMemory, WhileASampleIsAddedLeavesTheOthersAndNoTraceOfIt) {
  ProfileBuilder builder(Options());
  ProfileBuilder reference(Options());
  long failures = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(Add(&reference, 0x1000 * i));
    failures += FailEach([&] {
      if (!Add(&builder, 0x1000 * i)) abort();
    });
    EXPECT_EQ(builder.sample_count(), i + 1);
  }
  // Most samples find room; seven vectors and indexes grow five times or more.
  EXPECT_GT(failures, 35);
  EXPECT_EQ(builder.Finish(nullptr), reference.Finish(nullptr));
}

TEST_F(OutOfMemory, WhileFinishingCanBeTriedAgain) {
  ProfileBuilder builder(Options());
  for (uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(Add(&builder, 0x1000 * i));
  const std::string want = builder.Finish(nullptr);
  std::string got;
  const long failures = FailEach([&] { got = builder.Finish(nullptr); });
  EXPECT_GT(failures, 20);
  EXPECT_LT(failures, kEnough);
  EXPECT_EQ(got, want);
}

TEST_F(OutOfMemory, WhileSymbolizingCostsNamesAndTheNextTimeTheyAreThere) {
  auto mappings = ReadMapsOfPid(getpid())->mappings;
  const auto code = reinterpret_cast<uint64_t>(&ReadMapsOfPid);
  const auto mapping = std::find_if(mappings.begin(), mappings.end(),
                                    [&](const Mapping& m) { return m.Contains(code); });
  ASSERT_NE(mapping, mappings.end());
  Symbolizer symbolizer({});
  Symbol symbol;
  const long failures = FailEach([&] { symbol = symbolizer.Lookup(*mapping, code); });
  EXPECT_GT(failures, 5);
  EXPECT_LT(failures, kEnough);
  EXPECT_EQ(symbol.name.find("sonde::ReadMapsOfPid("), 0u) << symbol.name;
}

}  // namespace
}  // namespace sonde
