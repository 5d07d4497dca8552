// SPDX-License-Identifier: Apache-2.0
// A stack that does not reach its root says why, as its outermost frame.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "collectors/safe/cpu_handler.h"
#include "recording/cpu_window_maker.h"

namespace sonde {
namespace {

constexpr int kPid = 7;
constexpr uint64_t kInProgram = 0x401000, kInJit = 0x7f0000001000, kNowhere = 0x10;

Mapping MappingOf(uint64_t start, const char* path) {
  Mapping mapping;
  mapping.start = start;
  mapping.limit = start + 0x10000;
  mapping.path = path;
  return mapping;
}

class CutStack : public testing::Test {
 protected:
  CutStack() {
    history_.Update(kPid, "service",
                    {MappingOf(0x400000, "/usr/bin/service"), MappingOf(0x7f0000000000, "//anon")},
                    1);
  }
  CpuSample Sample(std::vector<uint64_t> frames, StackEnd end) {
    FoldProfile piece;
    piece.from_ns = 10;
    piece.to_ns = 20;
    FoldSample sample;
    sample.frames = std::move(frames);
    sample.flags = StackFlags(end);
    sample.thread.pid = kPid;
    sample.kind = Kind::kCpu;
    sample.events = 1;
    sample.amount = 10;
    piece.samples.push_back(sample);
    CpuWindowMaker maker(history_, 0, kPid);
    maker.AddPiece(piece);
    return maker.Take().samples.at(0);
  }
  std::string RootOf(std::vector<uint64_t> frames, StackEnd end) {
    return Sample(std::move(frames), end).synthetic_root;
  }

  AddressHistory history_;
};

TEST_F(CutStack, AWholeOneHasNoFrameButItsOwn) {
  EXPECT_EQ(RootOf({kInProgram, kInProgram + 16}, StackEnd::kRoot), "");
}

TEST_F(CutStack, SaysWhatIsMissingInCodeOfAFile) {
  EXPECT_EQ(RootOf({kInJit, kInProgram}, StackEnd::kNoUnwindData), "[no unwind data]");
  EXPECT_EQ(RootOf({kInProgram}, StackEnd::kUnreadable), "[stack unreadable]");
  EXPECT_EQ(RootOf({kInProgram}, StackEnd::kBadFrame), "[stack unreadable]");
  EXPECT_EQ(RootOf({kInProgram}, StackEnd::kTableNotBuilt), "[unwind table not built]");
  EXPECT_EQ(RootOf({kInProgram}, StackEnd::kDepthLimit), "[stack truncated]");
  EXPECT_EQ(RootOf({kNowhere}, StackEnd::kNoUnwindData), "[no unwind data]");
}

TEST_F(CutStack, SaysThatGeneratedCodeKeepsNoFramePointers) {
  EXPECT_EQ(RootOf({kInProgram, kInJit}, StackEnd::kNoUnwindData), "[JIT without frame pointers]");
  EXPECT_EQ(RootOf({kInJit}, StackEnd::kBadFrame), "[JIT without frame pointers]");
  EXPECT_EQ(RootOf({kInJit}, StackEnd::kDepthLimit), "[stack truncated]");
}

TEST_F(CutStack, AReturnAddressBelongsToTheCodeBeforeIt) {
  EXPECT_EQ(RootOf({kInProgram, 0x7f0000010000}, StackEnd::kNoUnwindData),
            "[JIT without frame pointers]");
  EXPECT_EQ(RootOf({0x7f0000010000}, StackEnd::kNoUnwindData), "[no unwind data]");
}

TEST_F(CutStack, TheReasonIsTheOutermostFrameOfTheProfile) {
  const CpuSample sample = Sample({kInProgram, kInJit}, StackEnd::kNoUnwindData);
  CpuWindow window;
  ProfileBuilder builder(CpuProfileOptions(window));
  ASSERT_TRUE(AddCpuSample(sample, "main", 0, &builder));
  const pprof::Profile profile = builder.Build(nullptr);
  ASSERT_EQ(profile.samples.size(), 1u);
  const pprof::Location& last = profile.locations.at(profile.samples[0].locations.back());
  ASSERT_EQ(last.lines.size(), 1u);
  EXPECT_EQ(profile.strings.at(profile.functions.at(last.lines[0].function).name),
            "[JIT without frame pointers]");
}

TEST_F(CutStack, WhatIsNoAddressIsNotCut) {
  const CpuSample sample =
      Sample({static_cast<uint64_t>(SyntheticFrame::kSignalBlocked)}, StackEnd::kRoot);
  EXPECT_EQ(sample.synthetic_leaf, "[signal blocked]");
  EXPECT_EQ(sample.synthetic_root, "");
}

}  // namespace
}  // namespace sonde
