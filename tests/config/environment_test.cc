// SPDX-License-Identifier: Apache-2.0
#include "agent/config/environment.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <string>
#include <vector>

namespace sonde {
namespace {

// Constant initialisation is what lets a constructor of a preloaded library read it.
constinit Environment g_constant;

Environment Parse(std::initializer_list<const char*> entries) {
  std::vector<const char*> envp(entries);
  envp.push_back(nullptr);
  Environment environment;
  ParseEnvironment(envp.data(), &environment);
  return environment;
}

TEST(Environment, ReadsItsOwnVariablesAndNoOthers) {
  const Environment e =
      Parse({"PATH=/bin", "SONDE_CPU_HZ=250", "SONDE_TARGET=redis-server", "XSONDE_CPU=off"});
  EXPECT_EQ(e.settings.cpu_hz, 250);
  EXPECT_EQ(e.settings.target.view(), "redis-server");
  EXPECT_TRUE(e.settings.cpu);
  EXPECT_EQ(e.problems.count(), 0u);
}

TEST(Environment, AWrongValueIsReportedWithItsRangeAndTheDefaultStays) {
  const Environment e = Parse({"SONDE_CPU_HZ=fast"});
  EXPECT_EQ(e.settings.cpu_hz, 100);
  EXPECT_EQ(
      e.problems.text(),
      "SONDE_CPU_HZ = fast: expected an integer from 1 to 1000 (samples per second of CPU time); "
      "\"100\" stays in force\n");
}

TEST(Environment, AnUnknownNameIsReportedWithTheNearestKnown) {
  EXPECT_EQ(Parse({"SONDE_CPU_HS=5"}).problems.text(),
            "SONDE_CPU_HS: no such setting; did you mean SONDE_CPU_HZ?\n");
}

TEST(Environment, OfTwoEqualNamesTheFirstCounts) {
  EXPECT_EQ(Parse({"SONDE_CPU_HZ=5", "SONDE_CPU_HZ=7"}).settings.cpu_hz, 5);
}

TEST(Environment, HostileEntriesDoNoHarm) {
  const std::string long_value = "SONDE_TARGET=" + std::string(100000, 'a');
  const std::string long_name = "SONDE_" + std::string(100000, 'B') + "=1";
  const Environment e = Parse({"", "=", "SONDE_", "SONDE_=x", long_value.c_str(), long_name.c_str(),
                               "SONDE_CPU_HZ=\x01\x02\xff"});
  EXPECT_EQ(e.problems.count(), 4u);
  EXPECT_EQ(e.problems.text().find('\x01'), std::string_view::npos);
  Environment empty;
  ParseEnvironment(nullptr, &empty);
  EXPECT_EQ(empty.problems.count(), 0u);
}

TEST(Environment, MoreProblemsThanFitAreCounted) {
  std::vector<std::string> entries(500, "SONDE_CPU_HZ=wrong");
  std::vector<const char*> envp;
  for (const std::string& entry : entries) envp.push_back(entry.c_str());
  envp.push_back(nullptr);
  Environment e;
  ParseEnvironment(envp.data(), &e);
  EXPECT_EQ(e.problems.count(), 500u);
  EXPECT_LE(e.problems.text().size(), Problems::kCapacity);
  EXPECT_EQ(e.problems.text().back(), '\n');
}

TEST(Environment, ParsingAllocatesNothing) {
  const char* envp[] = {"SONDE_CPU_HZ=7", "SONDE_LISTEN=[::1]:80",         "SONDE_CPUHZ=1",
                        "SONDE_LOG=x",    "SONDE_MEMORY_LIMIT_BYTES=8MiB", nullptr};
  const auto before = mallinfo2();
  ParseEnvironment(envp, &g_constant);
  const auto after = mallinfo2();
  EXPECT_EQ(before.uordblks, after.uordblks);
  EXPECT_EQ(before.fordblks, after.fordblks);
  EXPECT_EQ(g_constant.settings.cpu_hz, 7);
}

}  // namespace
}  // namespace sonde
