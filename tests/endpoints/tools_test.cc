// SPDX-License-Identifier: Apache-2.0
// Stock tools against a running fake_agent: curl, go tool pprof, promtool, a JSON parser.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "tests/http/client.h"

namespace sonde::testing {
namespace {

constexpr char kToken[] = "a-token-for-the-tests";

struct Output {
  std::string text;
  int status = -1;
};

Output RunShell(const std::string& command) {
  Output output;
  FILE* pipe = popen(("timeout 60 sh -c '" + command + "' 2>&1").c_str(), "r");
  if (pipe == nullptr) return output;
  char block[4096];
  for (size_t got; (got = fread(block, 1, sizeof(block), pipe)) > 0;)
    output.text.append(block, got);
  output.status = WEXITSTATUS(pclose(pipe));
  return output;
}

bool Has(const char* tool) { return RunShell(std::string("command -v ") + tool).status == 0; }

class ToolsTest : public ::testing::Test {
 protected:
  // Of its own for each test program: they run side by side.
  const int port_ = 21000 + getpid() % 5000 * 2;
  const int metrics_port_ = port_ + 1;

  void SetUp() override {
    char pattern[] = "/tmp/sonde-tools-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    std::ofstream(directory_ + "/token") << kToken << "\n";
    setenv("PPROF_TMPDIR", pattern, 1);
    Start();
  }
  void TearDown() override {
    if (pid_ > 0) {
      kill(pid_, SIGTERM);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(directory_);
  }

  void Start() {
    const std::string listen = "SONDE_LISTEN=127.0.0.1:" + std::to_string(port_);
    const std::string metrics = "SONDE_METRICS_LISTEN=127.0.0.1:" + std::to_string(metrics_port_);
    const std::string token = "SONDE_TOKEN_FILE=" + directory_ + "/token";
    const std::string socket = "unix:" + Socket();
    pid_ = fork();
    if (pid_ == 0) {
      execl(FAKE_AGENT, FAKE_AGENT, "--seconds", "60", "--unix", socket.c_str(), listen.c_str(),
            metrics.c_str(), token.c_str(), nullptr);
      _exit(127);
    }
    for (int i = 0; i < 200 && !Client(static_cast<uint16_t>(metrics_port_)).connected(); ++i)
      usleep(20000);
    ASSERT_TRUE(Client(static_cast<uint16_t>(port_)).connected());
  }
  std::string Socket() const { return directory_ + "/agent.sock"; }
  std::string Url(const std::string& path) const { return Url(path, port_); }
  static std::string Url(const std::string& path, int port) {
    return "http://127.0.0.1:" + std::to_string(port) + path;
  }

  std::string directory_;
  pid_t pid_ = -1;
};

TEST_F(ToolsTest, GoToolPprofShowsTheKnownSplit) {
  if (!Has("go")) GTEST_SKIP() << "needs go tool pprof";
  const Output top = RunShell("go tool pprof -top " + Url("/debug/pprof/profile?seconds=3"));
  ASSERT_EQ(top.status, 0) << top.text;
  std::map<std::string, double> percent;
  std::istringstream lines(top.text);
  for (std::string line; std::getline(lines, line);) {
    char flat[64];
    char name[256];
    double flat_percent = 0;
    if (sscanf(line.c_str(), " %63s %lf%% %*s %*s %*s %255[^\n]", flat, &flat_percent, name) == 3) {
      percent[name] = flat_percent;
    }
  }
  EXPECT_NEAR(percent["sonde::testing::ParseRequest"], 59.4, 1.5) << top.text;
  EXPECT_NEAR(percent["sonde::testing::HashKey"], 29.7, 1.5);
  EXPECT_NEAR(percent["sonde::testing::CompressReply"], 9.9, 1.5);
  EXPECT_NEAR(percent["[signal blocked]"], 1, 0.9);
  EXPECT_NE(top.text.find("CPU sampled at 100 Hz"), std::string::npos) << "comments are shown";
  const Output tags = RunShell("go tool pprof -tags " + Url("/debug/pprof/profile?seconds=1"));
  for (const char* tag : {"thread", "worker-1", "sweeper", "tid", "pid"}) {
    EXPECT_NE(tags.text.find(tag), std::string::npos) << tag << "\n" << tags.text;
  }
}

TEST_F(ToolsTest, GoToolPprofPrintsOurErrors) {
  if (!Has("go")) GTEST_SKIP() << "needs go tool pprof";
  const Output none = RunShell("go tool pprof -top " + Url("/debug/pprof/nothing"));
  EXPECT_NE(none.status, 0);
  EXPECT_NE(none.text.find("Unknown profile"), std::string::npos) << none.text;
}

TEST_F(ToolsTest, PromtoolFindsNothingWrongWithTheMetrics) {
  if (!Has("promtool")) GTEST_SKIP() << "needs promtool";
  for (int port : {port_, metrics_port_}) {
    const Output check =
        RunShell("curl -sf " + Url("/metrics", port) + " | promtool check metrics");
    EXPECT_EQ(check.status, 0) << check.text;
    EXPECT_EQ(check.text, "");
  }
  const std::string metrics = RunShell("curl -sf " + Url("/metrics")).text;
  for (const char* name : {"process_cpu_seconds_total",
                           "process_open_fds",
                           "process_max_fds",
                           "process_resident_memory_bytes",
                           "process_virtual_memory_bytes",
                           "process_start_time_seconds",
                           "sonde_build_info",
                           "sonde_cpu_samples_total",
                           "sonde_cpu_sampled_seconds_total",
                           "sonde_dropped_samples_total",
                           "sonde_agent_cpu_seconds_total",
                           "sonde_agent_memory_bytes",
                           "sonde_agent_memory_limit_bytes",
                           "sonde_threads",
                           "sonde_thread_cpu_seconds_total",
                           "sonde_cpu_timers",
                           "sonde_cpu_timers_limit",
                           "sonde_cpu_sample_rate_hertz",
                           "sonde_cpu_effective_sample_rate_hertz",
                           "sonde_collector_enabled",
                           "sonde_enabled",
                           "sonde_http_requests_total",
                           "sonde_scrape_duration_seconds",
                           "sonde_table_entries",
                           "sonde_table_capacity"}) {
    const std::string type = std::string("# TYPE ") + name + " ";
    const size_t first = metrics.find(type);
    EXPECT_NE(first, std::string::npos) << name;
    EXPECT_EQ(metrics.find(type, first + 1), std::string::npos) << name << " twice";
  }
}

TEST_F(ToolsTest, StatusAndConfigAreJson) {
  for (const char* path : {"/debug/sonde/status", "/debug/sonde/config"}) {
    const Output parsed = RunShell("curl -sf " + Url(path) + " | python3 -m json.tool");
    EXPECT_EQ(parsed.status, 0) << parsed.text;
  }
}

TEST_F(ToolsTest, ChangesNeedTheTokenOrTheSocket) {
  const std::string code = "curl -s -o /dev/null -w %{http_code} -X POST ";
  EXPECT_EQ(RunShell(code + Url("/debug/sonde/off")).text, "401");
  EXPECT_EQ(RunShell(code + "-H \"Authorization: Bearer wrong-wrong-wrong-wrong\" " +
                     Url("/debug/sonde/off"))
                .text,
            "401");
  EXPECT_EQ(
      RunShell(code + "-H \"Authorization: Bearer " + kToken + "\" " + Url("/debug/sonde/off"))
          .text,
      "200");
  EXPECT_NE(RunShell("curl -s " + Url("/metrics")).text.find("\nsonde_enabled 0\n"),
            std::string::npos);
  EXPECT_EQ(RunShell(code + "--unix-socket " + Socket() + " http://agent/debug/sonde/on").text,
            "200");
  EXPECT_NE(RunShell("curl -s " + Url("/metrics")).text.find("\nsonde_enabled 1\n"),
            std::string::npos);
}

TEST_F(ToolsTest, TheMetricsDoorServesNothingElse) {
  const std::string code = "curl -s -o /dev/null -w %{http_code} ";
  EXPECT_EQ(RunShell(code + Url("/healthz", metrics_port_)).text, "200");
  EXPECT_EQ(RunShell(code + Url("/debug/pprof/", metrics_port_)).text, "404");
  EXPECT_EQ(RunShell(code + Url("/debug/sonde/status", metrics_port_)).text, "404");
  EXPECT_EQ(RunShell(code + "-X POST -H \"Authorization: Bearer " + kToken + "\" " +
                     Url("/debug/sonde/off", metrics_port_))
                .text,
            "404");
}

TEST_F(ToolsTest, AKilledClientsCaptureEnds) {
  const Output killed =
      RunShell("timeout -s KILL 0.5 curl -s " + Url("/debug/pprof/profile?seconds=50") + "; true");
  EXPECT_EQ(killed.status, 0);
  std::string status;
  for (int i = 0; i < 50 && status.find("captures: 0") == status.npos; ++i) {
    status = RunShell("curl -s \"" + Url("/debug/sonde/status?format=text") + "\"").text;
  }
  EXPECT_NE(status.find("captures: 0"), std::string::npos) << status;
}

TEST_F(ToolsTest, TheSocketsFileIsPrivate) {
  const auto permissions = std::filesystem::status(Socket()).permissions();
  EXPECT_EQ(permissions, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

}  // namespace
}  // namespace sonde::testing
