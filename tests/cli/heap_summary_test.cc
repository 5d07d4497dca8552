// SPDX-License-Identifier: Apache-2.0
#include "cli/heap_summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cli/outcome.h"
#include "cli/render_heap.h"

namespace sonde::cli {
namespace {

constexpr double kInterval = 512 << 10;

TEST(ErrorOf, SmallBlocksHaveThePoissonErrorOfTheirSamples) {
  const SamplingError error = ErrorOf(1e6, 64e6, kInterval);
  EXPECT_NEAR(error.samples, 65e6 / kInterval, 0.1);
  EXPECT_NEAR(std::sqrt(error.bytes_variance) / 64e6, 1 / std::sqrt(error.samples), 1e-4);
  EXPECT_NEAR(std::sqrt(error.objects_variance) / 1e6, 1 / std::sqrt(error.samples), 1e-4);
}

TEST(ErrorOf, LargeBlocksAndAnIntervalOfOneAreExact) {
  EXPECT_LT(ErrorOf(3, 3 * 64 * kInterval, kInterval).bytes_variance, 1);
  EXPECT_EQ(ErrorOf(1000, 64000, 1).bytes_variance, 0);
  EXPECT_EQ(ErrorOf(-5, -100, kInterval).bytes_variance, 0);
}

// 4,000 heaps of 20,000 blocks of 4 KiB, each sampled: how far the estimates scatter is what the
// formula says. The ratio of the two deviations scatters by 1/√8000 = 1.1 %: 6 % are five of those.
TEST(ErrorOf, IsHowFarEstimatesScatter) {
  constexpr int kHeaps = 4000, kBlocks = 20'000;
  constexpr double kSize = 4096;
  const double chance = -std::expm1(-(kSize + 1) / kInterval);
  std::mt19937_64 random(20261121);
  std::binomial_distribution<int> samples(kBlocks, chance);
  double sum_of_squares = 0;
  for (int i = 0; i < kHeaps; ++i) {
    const double off = samples(random) / chance - kBlocks;
    sum_of_squares += off * off;
  }
  const double seen = std::sqrt(sum_of_squares / kHeaps);
  const double told = std::sqrt(ErrorOf(kBlocks, kBlocks * kSize, kInterval).objects_variance);
  EXPECT_NEAR(seen / told, 1, 0.06);
}

TEST(ErrorText, SaysNothingOfExactNumbers) {
  EXPECT_EQ(ErrorText(100, 0), "");
  EXPECT_EQ(ErrorText(0, 5), "");
  EXPECT_EQ(ErrorText(200, 24), "±12 %");
  EXPECT_EQ(ErrorText(-200, 24), "±12 %");
}

TEST(SummariseHeap, RefusesAProfileWithoutSuchAValue) {
  EXPECT_THROW(SummariseHeap(pprof::Profile{}, {}, "inuse_space"), CliError);
}

}  // namespace
}  // namespace sonde::cli
