// SPDX-License-Identifier: Apache-2.0
#include "cli/preload.h"

#include <gtest/gtest.h>

#include "cli/outcome.h"

namespace sonde::cli {
namespace {

constexpr const char* kAgent = "/opt/sonde/lib/libsonde.so";

TEST(JoinPreload, KeepsWhatIsThereAndGoesFirst) {
  EXPECT_EQ(JoinPreload(kAgent, ""), kAgent);
  EXPECT_EQ(JoinPreload(kAgent, "/x/libjemalloc.so.2 /y/libfake.so"),
            std::string(kAgent) + ":/x/libjemalloc.so.2:/y/libfake.so");
}

TEST(JoinPreload, StaysBehindSanitizersWhichMustBeFirst) {
  EXPECT_EQ(JoinPreload(kAgent, "/x/libasan.so.8:/y/libfake.so"),
            "/x/libasan.so.8:" + std::string(kAgent) + ":/y/libfake.so");
}

TEST(JoinPreload, ReplacesAnAgentOfEitherKind) {
  EXPECT_EQ(JoinPreload(kAgent, "/old/libsonde-tcmalloc.so:/y/libfake.so"),
            std::string(kAgent) + ":/y/libfake.so");
}

TEST(JoinPreload, ReplacesAnAgentThatIsThereAlready) {
  EXPECT_EQ(JoinPreload(kAgent, "/old/libsonde.so::"), kAgent);
}

TEST(SplitAssignment, NeedsAName) {
  EXPECT_EQ(SplitAssignment("cpu_hz=200").second, "200");
  EXPECT_EQ(SplitAssignment("listen=").second, "");
  EXPECT_THROW(SplitAssignment("cpu_hz"), CliError);
  EXPECT_THROW(SplitAssignment("=1"), CliError);
}

TEST(EnvironmentName, TakesBothSpellings) {
  EXPECT_EQ(EnvironmentName("cpu_hz"), "SONDE_CPU_HZ");
  EXPECT_EQ(EnvironmentName("SONDE_CPU_HZ"), "SONDE_CPU_HZ");
}

}  // namespace
}  // namespace sonde::cli
