// SPDX-License-Identifier: Apache-2.0
#include "collectors/cgroup_cpu.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sonde {
namespace {

constexpr uint64_t kTenSecondsNs = 10'000'000'000;

TEST(CgroupCpu, TheLimitIsQuotaByPeriod) {
  EXPECT_DOUBLE_EQ(ParseCpuMax("200000 100000\n"), 2.0);
  EXPECT_DOUBLE_EQ(ParseCpuMax("50000 100000\n"), 0.5);
  for (const char* none : {"max 100000\n", "-1 100000\n", "", "0 0", "x", "5"}) {
    EXPECT_EQ(ParseCpuMax(none), 0) << none;
  }
}

TEST(CgroupCpu, BothVersionsOfTheStatisticsAreRead) {
  CgroupCpu v2;
  ParseCpuStat("usage_usec 5000\nuser_usec 1\nnr_periods 7\nnr_throttled 3\nthrottled_usec 20\n",
               &v2);
  EXPECT_EQ(v2.used_ns, 5'000'000u);
  EXPECT_EQ(v2.periods, 7u);
  EXPECT_EQ(v2.throttled_periods, 3u);
  EXPECT_EQ(v2.throttled_ns, 20'000u);
  CgroupCpu v1;
  ParseCpuStat("nr_periods 7\nnr_throttled 3\nthrottled_time 123456\nnr_bursts", &v1);
  EXPECT_EQ(v1.throttled_ns, 123'456u);
}

TEST(CgroupCpu, ADirectoryOfEachVersionIsRead) {
  char pattern[] = "/tmp/sonde-cgroup-XXXXXX";
  ASSERT_NE(mkdtemp(pattern), nullptr);
  const std::string directory = pattern;
  CgroupCpuReader reader(directory);
  EXPECT_FALSE(reader.Read(1));
  std::ofstream(directory + "/cpu.stat") << "nr_periods 9\nnr_throttled 2\nthrottled_time 8\n";
  std::ofstream(directory + "/cpu.cfs_quota_us") << "150000\n";
  std::ofstream(directory + "/cpu.cfs_period_us") << "100000\n";
  std::ofstream(directory + "/cpuacct.usage") << "42\n";
  auto cpu = reader.Read(2);
  ASSERT_TRUE(cpu);
  EXPECT_DOUBLE_EQ(cpu->limit_cores, 1.5);
  EXPECT_EQ(cpu->used_ns, 42u);
  std::ofstream(directory + "/cpu.max") << "300000 100000\n";
  std::ofstream(directory + "/cpu.stat") << "usage_usec 3\nnr_periods 9\n";
  cpu = reader.Read(kTenSecondsNs);
  ASSERT_TRUE(cpu);
  EXPECT_DOUBLE_EQ(cpu->limit_cores, 1.5) << "a limit is looked at every ten seconds";
  cpu = reader.Read(kTenSecondsNs + 2);
  ASSERT_TRUE(cpu);
  EXPECT_DOUBLE_EQ(cpu->limit_cores, 3);
  EXPECT_EQ(cpu->used_ns, 3000u);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace sonde
