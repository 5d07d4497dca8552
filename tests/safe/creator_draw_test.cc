// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/creator_draw.h"

#include <gtest/gtest.h>

#include <bit>

namespace sonde {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

struct Drawn {
  uint64_t noted = 0;
  uint64_t standing = 0;  // the sum of their weights
};

// So many in each second, evenly.
Drawn Make(CreatorDraw* draw, uint64_t per_second, uint64_t from_ns, uint64_t to_ns) {
  Drawn drawn;
  for (uint64_t now_ns = from_ns; now_ns < to_ns; now_ns += kSecondNs / per_second) {
    const uint32_t weight = draw->Draw(now_ns);
    EXPECT_TRUE(weight == 0 || std::has_single_bit(weight));
    drawn.noted += weight != 0;
    drawn.standing += weight;
  }
  return drawn;
}

TEST(CreatorDraw, EveryOneIsNotedWhereThreadsAreMadeByTheHundred) {
  CreatorDraw draw;
  const Drawn drawn = Make(&draw, CreatorDraw::kNotedPerSecond, 100 * kSecondNs, 110 * kSecondNs);
  EXPECT_EQ(drawn.noted, 10 * CreatorDraw::kNotedPerSecond);
  EXPECT_EQ(drawn.standing, drawn.noted);
}

TEST(CreatorDraw, AllOfTheFirstBurstAreNoted) {
  CreatorDraw draw;
  for (int i = 0; i < 3000; ++i) EXPECT_EQ(draw.Draw(50 * kSecondNs), 1U);
}

// 40,000 a second: one in 128, 313 a second. The sum of 100 s has a standard deviation of
// 128·sqrt(31,250) = 0.57 %; five of them are one false alarm in 1.7 million.
TEST(CreatorDraw, OfThousandsFewAreNotedAndTheyStandForAll) {
  CreatorDraw draw;
  constexpr uint64_t kRate = 40'000;
  Make(&draw, kRate, 100 * kSecondNs, 101 * kSecondNs);
  const Drawn drawn = Make(&draw, kRate, 101 * kSecondNs, 201 * kSecondNs);
  EXPECT_LE(drawn.noted, 100 * CreatorDraw::kNotedPerSecond * 11 / 10);
  EXPECT_GE(drawn.noted, 100 * CreatorDraw::kNotedPerSecond / 2);
  EXPECT_NEAR(static_cast<double>(drawn.standing), 100.0 * kRate, 100.0 * kRate * 5 * 0.0057);
}

TEST(CreatorDraw, AfterAPauseEveryOneIsNotedAgain) {
  CreatorDraw draw;
  Make(&draw, 40'000, 100 * kSecondNs, 102 * kSecondNs);
  // The first window after it still has what the last busy one left.
  EXPECT_EQ(draw.Draw(160 * kSecondNs), 1U);
}

}  // namespace
}  // namespace sonde
