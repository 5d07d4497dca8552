// SPDX-License-Identifier: Apache-2.0
// The small parts: socket names, /proc texts, kubectl's lines, durations, base64.
#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/base64.h"
#include "cli/child.h"
#include "cli/duration.h"
#include "cli/kubectl.h"
#include "cli/proc.h"
#include "cli/program.h"
#include "cli/sockets.h"

namespace sonde::cli {
namespace {

TEST(ParseSocketName, ReadsFromTheRightBecauseHostsHaveDashes) {
  EXPECT_EQ(ParseSocketName("web-7f9c-x-12-81234"), (SocketName{"web-7f9c-x", 12, 81234}));
  for (const char* bad : {"", "12", "12-34", "-12-34", "web-0-1", "web-x-1", "web-1-", "web-1-2x"})
    EXPECT_FALSE(ParseSocketName(bad)) << bad;
}

TEST(ParseUnixTable, FindsEachAbstractAgentSocketOnce) {
  const auto found = ParseUnixTable(
      "Num RefCount Protocol Flags Type St Inode Path\n"
      "0: 2 0 10000 1 01 123 @sonde/web-12-81234\n"
      "0: 3 0 0 1 03 124 @sonde/web-12-81234\n"
      "0: 2 0 10000 1 01 125 /run/other.sock\n"
      "0: 2 0 10000 1 01 126 @sonde/nonsense\n"
      "0: 2 0 10000 1 01 127");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].address.where, "sonde/web-12-81234");
  EXPECT_EQ(found[0].name.pid, 12);
}

TEST(ProbeSocket, SaysStaleWhereNobodyListens) {
  const Address nobody{Address::Kind::kAbstract, "sonde/test-nobody-" + std::to_string(getpid())};
  EXPECT_EQ(ProbeSocket(nobody).state, Probe::State::kStale);
}

TEST(ParseStat, CopesWithParenthesesInNames) {
  const auto stat = ParseStat("7 (a) b)) S 3 7 7 0 -1 4 1 2 3 4 50 60 0 0 20 0 1 0 999 1 2");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "a) b)");
  EXPECT_EQ(stat->parent, 3);
  EXPECT_EQ(stat->cpu_ticks, 110u);
  EXPECT_EQ(stat->start_ticks, 999u);
  for (const char* bad : {"", "7 (x", "7 x) S", "7 (x) S 1 2"}) EXPECT_FALSE(ParseStat(bad)) << bad;
}

TEST(ReadStat, AgreesWithTheKernelAboutOurselves) {
  const auto stat = ReadStat(getpid());
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->parent, getppid());
  EXPECT_FALSE(ReadStat(1 << 30));
}

TEST(ParseForwardingLine, TakesTheIpv4LineWhenItIsWhole) {
  EXPECT_EQ(ParseForwardingLine("Forwarding from 127.0.0.1:40123 -> 7663\n"), "127.0.0.1:40123");
  EXPECT_EQ(ParseForwardingLine("Forwarding from [::1]:4 -> 7\nForwarding from 127.0.0.1:5 -> 7\n"),
            "127.0.0.1:5");
  for (const char* bad : {"", "Forwarding from 127.0.0.1:401", "Forwarding from 127.0.0.1: -> 7\n",
                          "Forwarding from [::1]:4 -> 7\n"})
    EXPECT_EQ(ParseForwardingLine(bad), "") << bad;
}

TEST(ExplainKubectl, KeepsUnknownWordsOfKubectl) {
  const CliError error =
      ExplainKubectl("E1121 07:00:00.1 1 x.go:4] first\nsomething new\n", "web", {});
  EXPECT_NE(std::string(error.what()).find("something new"), std::string::npos);
}

TEST(ParseDuration, TakesUnitsAndRefusesTheRest) {
  EXPECT_EQ(ParseDuration("500ms").count(), 500);
  EXPECT_EQ(ParseDuration("30").count(), 30'000);
  EXPECT_EQ(ParseDuration("15m").count(), 900'000);
  for (const char* bad : {"", "0s", "-1s", "1x", "s", "1.5h", "99999999999h"})
    EXPECT_THROW(ParseDuration(bad), CliError) << bad;
}

TEST(DecodeBase64, KnowsWholeTextsOnly) {
  EXPECT_EQ(DecodeBase64("c2VzYW1l\n"), "sesame");
  EXPECT_EQ(DecodeBase64("YQ=="), "a");
  EXPECT_EQ(DecodeBase64(""), "");
  for (const char* bad : {"a", "ab!=", "YQ="}) EXPECT_FALSE(DecodeBase64(bad)) << bad;
}

TEST(RunToEnd, GivesStatusOutputAndErrors) {
  const Finished done =
      RunToEnd({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, std::chrono::seconds(10));
  EXPECT_EQ(done.status, 3);
  EXPECT_EQ(done.output, "out\n");
  EXPECT_EQ(done.errors, "err\n");
}

TEST(RunToEnd, KillsAtTheDeadline) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(RunToEnd({"/bin/sleep", "60"}, std::chrono::milliseconds(200)).status, 124);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(CheckProgram, KnowsDynamicProgramsAndScripts) {
  EXPECT_EQ(CheckProgram("/proc/self/exe").verdict, ProgramCheck::Verdict::kDynamic);
  EXPECT_EQ(CheckProgram("/no/such").verdict, ProgramCheck::Verdict::kUnreadable);
  EXPECT_EQ(CheckProgram("/etc/passwd").verdict, ProgramCheck::Verdict::kNotElf);
}

}  // namespace
}  // namespace sonde::cli
