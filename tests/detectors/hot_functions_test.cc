// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_functions.h"

#include <gtest/gtest.h>

#include <vector>

namespace sonde {
namespace {

constexpr uint64_t kMain = 1, kServe = 2, kExecute = 3, kEvaluate = 4, kSqrt = 5, kReset = 6;

std::vector<uint64_t> PcsOf(const std::vector<FunctionShare>& shares) {
  std::vector<uint64_t> pcs;
  for (const FunctionShare& share : shares) pcs.push_back(share.pc);
  return pcs;
}

FunctionSums Query() {
  FunctionSums sums;
  sums.Add(std::vector<uint64_t>{kSqrt, kEvaluate, kExecute, kServe, kMain}, 30);
  sums.Add(std::vector<uint64_t>{kEvaluate, kExecute, kServe, kMain}, 25);
  sums.Add(std::vector<uint64_t>{kReset, kExecute, kServe, kMain}, 27);
  sums.Add(std::vector<uint64_t>{kServe, kMain}, 18);
  return sums;
}

TEST(HotFunctions, TheNearestToTheLeafThatMostGoesThroughIsFirst) {
  const auto telling = TellingFunctions(Query().Shares(), 100);
  EXPECT_EQ(PcsOf(telling),
            (std::vector<uint64_t>{kExecute, kServe, kMain, kEvaluate, kSqrt, kReset}));
  EXPECT_EQ(telling[0].cpu_ns, 82u);
  EXPECT_EQ(telling[0].own_ns, 0u);
  EXPECT_EQ(telling[3].cpu_ns, 55u);
  EXPECT_EQ(telling[3].own_ns, 25u);
}

TEST(HotFunctions, RecursionCountsOnce) {
  FunctionSums sums;
  sums.Add(std::vector<uint64_t>{kExecute, kEvaluate, kExecute, kEvaluate, kMain}, 10);
  for (const FunctionShare& share : sums.Shares()) EXPECT_EQ(share.cpu_ns, 10u);
  EXPECT_EQ(PcsOf(TellingFunctions(sums.Shares(), 10)),
            (std::vector<uint64_t>{kExecute, kEvaluate, kMain}));
}

TEST(HotFunctions, WhatOnlyLeadsToAnotherIsNotToldBesideIt) {
  FunctionSums sums;
  sums.Add(std::vector<uint64_t>{kSqrt, kEvaluate, kServe}, 40);
  sums.Add(std::vector<uint64_t>{kReset, kServe}, 60);
  // kEvaluate only leads to kSqrt.
  EXPECT_EQ(PcsOf(TellingFunctions(sums.Shares(), 100)),
            (std::vector<uint64_t>{kServe, kReset, kSqrt}));
}

TEST(HotFunctions, WithoutAnythingInCommonTheHeaviestAreTold) {
  FunctionSums sums;
  for (uint64_t pc = 1; pc <= 40; ++pc) sums.Add(std::vector<uint64_t>{pc}, pc);
  const auto telling = TellingFunctions(sums.Shares(), 820);
  EXPECT_TRUE(telling.empty());  // none has a twentieth
  sums.Add(std::vector<uint64_t>{100}, 400);
  EXPECT_EQ(PcsOf(TellingFunctions(sums.Shares(), 1220)), std::vector<uint64_t>{100});
}

TEST(HotFunctions, WithoutRoomTheLightestGoAndWhatIsCommonStays) {
  FunctionSums sums;
  for (uint64_t i = 0; i < 10'000; ++i) {
    sums.Add(std::vector<uint64_t>{1000 + i, kExecute, kServe, kMain}, 1);
  }
  EXPECT_LE(sums.size(), FunctionSums::kMaxFunctions);
  const auto telling = TellingFunctions(sums.Shares(), 10'000);
  EXPECT_EQ(PcsOf(telling), (std::vector<uint64_t>{kExecute, kServe, kMain}));
  EXPECT_EQ(telling[0].cpu_ns, 10'000u);
}

TEST(HotFunctions, NothingIsNothing) {
  EXPECT_TRUE(TellingFunctions({}, 0).empty());
  FunctionSums sums;
  sums.Add({}, 10);
  EXPECT_EQ(sums.size(), 0u);
}

}  // namespace
}  // namespace sonde
