// SPDX-License-Identifier: Apache-2.0
#include "profile/perf_map_history.h"

#include <gtest/gtest.h>

#include <string>

namespace sonde {
namespace {

using Times = std::vector<uint64_t>;

std::string Lines(int count, const std::string& name) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "1000 10 " + name + "\n";
  return text;
}

// Counts what is read of it.
class Counted : public ByteSource {
 public:
  explicit Counted(uint64_t size) : size_(size) {}
  size_t ReadAt(uint64_t offset, void* out, size_t size) const override {
    const size_t got = offset < size_ ? std::min<uint64_t>(size, size_ - offset) : 0;
    memset(out, '#', got);
    read_ += got;
    return got;
  }
  uint64_t size() const override { return size_; }
  uint64_t read() const { return read_; }

 private:
  const uint64_t size_;
  mutable uint64_t read_ = 0;
};

class GrowingMap : public testing::Test {
 protected:
  void Note(uint64_t now) { history_.Note(*OpenText(text_), now); }
  PerfMapHistory history_;
  std::string text_;
};

TEST_F(GrowingMap, HadTheSizesThatWereSeen) {
  EXPECT_EQ(history_.Between(0, 10), PerfMapTime());
  text_ = Lines(1, "f");
  Note(10);
  Note(20);
  Note(30);
  const uint64_t one = text_.size();
  text_ += Lines(3, "g");
  Note(40);
  const uint64_t four = text_.size();
  EXPECT_EQ(history_.Between(0, 10), (PerfMapTime{0, one}));
  EXPECT_EQ(history_.Between(10, 20), (PerfMapTime{one, one}));
  EXPECT_EQ(history_.Between(20, 30), (PerfMapTime{one, one}));
  EXPECT_EQ(history_.Between(30, 40), (PerfMapTime{one, four}));
  EXPECT_EQ(history_.Between(35, 37), (PerfMapTime{one, four}));
  EXPECT_EQ(history_.Between(40, 45), (PerfMapTime{four, UINT64_MAX}));
  EXPECT_EQ(history_.Between(10, 45), (PerfMapTime{one, UINT64_MAX}));
}

TEST_F(GrowingMap, IsCutWhereASampledNameChanged) {
  text_ = "1000 10 f\n2000 10 x\n";
  Note(10);
  text_ += "2000 10 y\n";
  Note(20);
  Note(30);
  text_ += "1000 10 g\n";
  Note(40);
  text_ += "3000 10 z\n";
  Note(50);
  text_ += "1000 10 h\n";
  const auto cuts = [&](Times addresses) { return history_.Cuts(*OpenText(text_), addresses); };
  EXPECT_EQ(cuts({0x1004}), (Times{30, 40, 50}));
  EXPECT_EQ(cuts({0x2004}), (Times{10, 20}));
  EXPECT_EQ(cuts({0x1004, 0x2004}), (Times{10, 20, 30, 40, 50}));
  EXPECT_EQ(cuts({0x3004}), Times());
}

// By java's agents, or by a process that has the same pid in another container and the same /tmp.
TEST_F(GrowingMap, ThatIsWrittenAnewIsOneThatAppearedLate) {
  for (const int lines : {1, 100, 200}) {  // shorter, as long, longer than before
    history_ = {};
    text_ = Lines(100, "f");
    Note(10);
    text_ = Lines(lines, "g");
    Note(20);
    const uint64_t size = text_.size();
    EXPECT_EQ(history_.Between(0, 10), (PerfMapTime{0, size})) << lines;
    EXPECT_EQ(history_.Between(10, 20), (PerfMapTime{0, size})) << lines;
    EXPECT_EQ(history_.Between(20, 30), (PerfMapTime{size, UINT64_MAX})) << lines;
  }
}

TEST_F(GrowingMap, IsNotedBetweenStepsOnlyWhenItIsWrittenAnew) {
  text_ = Lines(10, "f");
  Note(10);
  text_ += Lines(10, "g");
  history_.Check(*OpenText(text_), 13);
  EXPECT_EQ(history_.Between(10, 20), (PerfMapTime{Lines(10, "f").size(), UINT64_MAX}));
  text_ = Lines(3, "h");
  history_.Check(*OpenText(text_), 15);
  EXPECT_EQ(history_.Between(0, 12), (PerfMapTime{0, text_.size()}));
}

TEST_F(GrowingMap, ThatIsEmptyOrGoneTellsNothing) {
  Note(10);
  EXPECT_TRUE(history_.empty());
  text_ = Lines(2, "f");
  Note(20);
  text_.clear();
  Note(30);
  text_ = Lines(9, "g");
  Note(40);
  EXPECT_EQ(history_.Between(0, 20), (PerfMapTime{0, text_.size()}));
}

TEST_F(GrowingMap, TakesBoundedMemoryAndReadsItsEndOnly) {
  uint64_t read = 0;
  for (uint64_t i = 1; i <= 10'000; ++i) {
    const Counted map((uint64_t{200} << 20) + i);
    history_.Note(map, i * 10);
    read += map.read();
  }
  EXPECT_LE(read, 10'000u * 2 * 256);
  EXPECT_LE(history_.memory_bytes(), PerfMapHistory::kMaxSizes * 24);
  // What is no more remembered is not guessed either.
  EXPECT_EQ(history_.Between(10, 20).from_bytes, 0u);
}

TEST_F(GrowingMap, ForgetsWhatNoStepAsksFor) {
  for (int i = 1; i <= 5; ++i) {
    text_ += Lines(1, "f");
    Note(static_cast<uint64_t>(i) * 10);
  }
  const uint64_t line = Lines(1, "f").size();
  history_.Forget(30);
  EXPECT_EQ(history_.Between(30, 40), (PerfMapTime{3 * line, 4 * line}));
  history_.Forget(35);
  EXPECT_EQ(history_.Between(35, 40), (PerfMapTime{3 * line, 4 * line}));
  EXPECT_EQ(history_.Between(10, 20), (PerfMapTime{0, 3 * line}));
  history_.Forget(1000);
  EXPECT_EQ(history_.Between(1000, 1010), (PerfMapTime{5 * line, UINT64_MAX}));
}

}  // namespace
}  // namespace sonde
