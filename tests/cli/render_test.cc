// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

#include <gtest/gtest.h>

#include <sstream>

#include "cli/render_cpu.h"
#include "cli/render_status.h"

namespace sonde::cli {
namespace {

TEST(Numbers, AreShortAndCarryTheirUnit) {
  EXPECT_EQ(Percent(1, 0), "0 %");
  EXPECT_EQ(Percent(0.0001, 1), "<0.1 %");
  EXPECT_EQ(Percent(3, 1000), "0.3 %");
  EXPECT_EQ(Percent(94, 100), "94 %");
  EXPECT_EQ(Percent(9.96, 100), "10 %");
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(1234567), "1,234,567");
  EXPECT_EQ(Bytes(16 << 20), "16.0 MiB");
  EXPECT_EQ(Bytes(512), "512 B");
  EXPECT_EQ(Seconds(0.002), "2 ms");
  EXPECT_EQ(Seconds(59.94), "59.9 s");
  EXPECT_EQ(Seconds(372), "6 m 12 s");
  EXPECT_EQ(Seconds(26 * 3600 + 180), "26 h 3 m");
  EXPECT_EQ(UtcTime(1'000), "1970-01-01 00:00:01 UTC");
}

TEST(Ellipsis, CountsColumnsNotBytes) {
  EXPECT_EQ(Ellipsis("äöü", 3), "äöü");
  EXPECT_EQ(Ellipsis("äöüß", 3), "äö…");
  EXPECT_EQ(DisplayWidth(Ellipsis("0123456789", 5)), 5u);
}

TEST(Printable, MakesControlCharactersHarmless) {
  EXPECT_EQ(Printable("evil\033[31m\nname"), "evil?[31m?name");
}

TEST(OneLineStack, KeepsTheLeafAndSaysThatMoreWasCut) {
  const std::vector<std::string> stack = {"leaf(int)", "caller()", "main"};
  EXPECT_EQ(OneLineStack(stack, 100), "leaf < caller < main");
  EXPECT_EQ(OneLineStack(stack, 17), "leaf < caller < …");
  EXPECT_EQ(OneLineStack(stack, 5), "leaf < …");
}

TEST(RenderCpu, SaysThatNothingWasBurnt) {
  std::ostringstream out;
  pprof::Profile idle;
  pprof::StringTable strings(&idle.strings);
  idle.sample_types = {{strings.Intern("cpu"), strings.Intern("nanoseconds")}};
  RenderCpu(out, Terminal{false, false, 100}, {"7", "pid 7 idle", "agent 1", "", "", ""},
            SummariseCpu(std::move(idle), {}));
  EXPECT_NE(out.str().find("no CPU was burnt"), std::string::npos) << out.str();
}

TEST(RenderState, SurvivesAnEmptyStatus) {
  std::ostringstream out;
  Page page(out, Terminal{false, false, 100});
  const nlohmann::json status = nlohmann::json::object();
  RenderState(&page, status, 0);
  RenderDetails(&page, status);
  EXPECT_NE(out.str().find("CPU is not sampled"), std::string::npos) << out.str();
}

}  // namespace
}  // namespace sonde::cli
