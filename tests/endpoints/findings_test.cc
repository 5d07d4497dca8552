// SPDX-License-Identifier: Apache-2.0
// Findings in words: what the sentence says of the functions.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/endpoints/endpoint_test.h"

namespace sonde {
namespace {

class FindingsEndpoint : public testing::EndpointTest {
 protected:
  void PutHot(std::vector<FindingFunction> functions) {
    Finding finding;
    finding.id = MakeFindingId(FindingKind::kHotThread, "1");
    finding.sentence = "thread w (tid 9) used 97 % of a core for 15 s";
    finding.outcome = "; it has ended";
    finding.functions = std::move(functions);
    sources_.findings().Put(finding);
  }
  std::string Text() { return Get(ServeFindings).response.body; }

  static uint64_t PcOf(void (*function)()) { return reinterpret_cast<uint64_t>(function) + 1; }
};

TEST_F(FindingsEndpoint, TheSentenceNamesTheFunctionThatMostGoesThrough) {
  PutHot({{PcOf(&testing::HashKey), 0.83, 0.1}, {PcOf(&testing::ParseRequest), 0.4, 0.4}});
  const std::string text = Text();
  EXPECT_NE(text.find("for 15 s, 83 % of it in sonde::testing::HashKey; it has ended"),
            std::string::npos)
      << text;
  const std::string json = Get(ServeFindings, "format=json").response.body;
  EXPECT_NE(json.find("83 % of it in sonde::testing::HashKey; it has ended"), std::string::npos)
      << json;
  EXPECT_NE(json.find("\"own_share\": 0.400"), std::string::npos) << json;
}

TEST_F(FindingsEndpoint, OneWithoutANameIsBelowOneWithAName) {
  PutHot({{0x10, 0.9, 0.1}, {PcOf(&testing::HashKey), 0.95, 0}});
  const std::string text = Text();
  EXPECT_NE(text.find("90 % of it in 0x10, below sonde::testing::HashKey; it has ended"),
            std::string::npos)
      << text;
}

TEST_F(FindingsEndpoint, WhatEveryThreadBeginsWithIsNoAnswer) {
  void* const clone = dlsym(RTLD_DEFAULT, "clone");
  PutHot({{reinterpret_cast<uint64_t>(clone) + 1, 1, 0}});
  EXPECT_NE(Text().find("for 15 s; it has ended"), std::string::npos) << Text();
  PutHot({{PcOf(&testing::HashKey), 0.5, 0.5}});
  EXPECT_NE(Text().find("for 15 s; it has ended"), std::string::npos) << Text();
}

}  // namespace
}  // namespace sonde
