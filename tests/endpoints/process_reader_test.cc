// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/process_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace sonde {
namespace {

TEST(ProcessReader, AProgramsNameMayHoldAnything) {
  const std::string after =
      " S 1 2 3 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 12345 1048576 256 18446744073709551615 1";
  for (const char* name : {"redis-server", "a) S 9 9 (b", ") ) )", "", "x\n(y"}) {
    const auto numbers = ProcessReader::ParseStat("42 (" + std::string(name) + ")" + after, 1000);
    ASSERT_TRUE(numbers.has_value()) << name;
    EXPECT_DOUBLE_EQ(numbers->cpu_seconds, 2.0);
    EXPECT_DOUBLE_EQ(numbers->start_time_unix_seconds, 1123.45);
    EXPECT_DOUBLE_EQ(numbers->virtual_bytes, 1048576);
    EXPECT_DOUBLE_EQ(numbers->resident_bytes, 256 * 4096);
  }
  EXPECT_FALSE(ProcessReader::ParseStat("", 0).has_value());
  EXPECT_TRUE(ProcessReader::ParseStat("1 (x) S", 0).has_value())
      << "short lines are zeros, not crashes";
}

TEST(ProcessReader, AgreesWithOtherSourcesAboutThisProcess) {
  const ProcessReader reader;
  const auto numbers = reader.Read();
  ASSERT_TRUE(numbers.has_value());
  const double now = static_cast<double>(time(nullptr));
  EXPECT_LT(numbers->start_time_unix_seconds, now + 1);
  EXPECT_GT(numbers->start_time_unix_seconds, now - 3600);
  EXPECT_GT(numbers->resident_bytes, 1e6);
  EXPECT_GT(numbers->virtual_bytes, numbers->resident_bytes);
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(reader.MaxFds(), limit.rlim_cur);
}

TEST(ProcessReader, CountsOpenDescriptorsExactly) {
  const ProcessReader reader;
  const auto before = reader.OpenFds();
  ASSERT_TRUE(before.has_value());
  int opened[300];
  for (int& fd : opened) fd = open("/dev/null", O_RDONLY);
  EXPECT_EQ(reader.OpenFds(), *before + 300);
  for (int fd : opened) close(fd);
  EXPECT_EQ(reader.OpenFds(), before);
}

}  // namespace
}  // namespace sonde
