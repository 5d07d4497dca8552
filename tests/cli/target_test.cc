// SPDX-License-Identifier: Apache-2.0
#include "cli/target.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace sonde::cli {
namespace {

Target Parse(const std::string& text, std::optional<int> port = std::nullopt) {
  TargetOptions options;
  options.text = text;
  options.port = port;
  return ParseTarget(options);
}

TEST(ParseTarget, ANumberIsAPid) {
  EXPECT_EQ(Parse("4242").kind, Target::Kind::kPid);
  EXPECT_EQ(Parse("4242").pid, 4242);
}

TEST(ParseTarget, HostAndPortInEverySpelling) {
  for (const char* text : {"127.0.0.1:7663", "http://127.0.0.1:7663", "http://127.0.0.1:7663/",
                           "http://127.0.0.1:7663/debug/pprof/heap", ":7663"}) {
    EXPECT_EQ(Parse(text).address.where, "127.0.0.1:7663") << text;
    EXPECT_EQ(Parse(text).address.kind, Address::Kind::kTcp) << text;
  }
  EXPECT_EQ(Parse("[::1]:7663").address.where, "[::1]:7663");
  EXPECT_EQ(Parse("web", 6060).address.where, "web:6060");
}

TEST(ParseTarget, AbstractSocketsAsTheAgentWritesThem) {
  for (const char* text : {"@sonde/web-1-2", "unix:@sonde/web-1-2"}) {
    EXPECT_EQ(Parse(text).address.kind, Address::Kind::kAbstract) << text;
    EXPECT_EQ(Parse(text).address.where, "sonde/web-1-2") << text;
  }
}

TEST(ParseTarget, AFileIsASavedProfile) {
  EXPECT_EQ(Parse("/proc/self/exe").kind, Target::Kind::kProfileFile);
}

TEST(ParseTarget, PodsInEverySpelling) {
  for (const char* text : {"pod/web-1", "pods/web-1", "po/web-1"}) {
    EXPECT_EQ(Parse(text).kind, Target::Kind::kPod);
    EXPECT_EQ(Parse(text).name, "web-1");
  }
}

TEST(ParseTarget, NonsenseIsAUsageErrorThatSaysWhatIsExpected) {
  for (const char* text :
       {"", "0", "-5", "nonsense", "host:99999", "host:", "pod/", "pod/a/b", "pod/--x",
        "deploy/web", "https://x:1", "/no/such/socket", "/tmp", "a b:1"}) {
    try {
      Parse(text);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const CliError& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage) << text;
      EXPECT_NE(std::string(error.what()), "") << text;
    }
  }
}

TEST(AsTyped, RepeatsTheOptionsThatMatter) {
  TargetOptions options;
  options.text = "pod/web-1";
  options.kube_namespace = "shop";
  options.port = 6060;
  EXPECT_EQ(AsTyped(options), "pod/web-1 -n shop --port 6060");
}

}  // namespace
}  // namespace sonde::cli
