// SPDX-License-Identifier: Apache-2.0
#include "cli/cpu_summary.h"

#include <gtest/gtest.h>

#include "cli/outcome.h"
#include "profile/pprof.h"

namespace sonde::cli {
namespace {

// Two threads of pid 7 and one of pid 8; "spin" calls itself once; one sample has no stack.
class Sampled {
 public:
  Sampled() : strings_(&profile_.strings) {
    profile_.sample_types = {{Text("samples"), Text("count")}, {Text("cpu"), Text("nanoseconds")}};
    profile_.period = 10'000'000;
    profile_.duration_nanos = 1'000'000'000;
    Add({"spin", "spin", "main"}, 60, "worker", 70, 7);
    Add({"hash", "main"}, 30, "main", 7, 7);
    Add({"[signal blocked]", "hash", "main"}, 5, "main", 7, 7);
    Add({"other", "main"}, 5, "child", 8, 8);
  }
  pprof::Profile Copy() const { return profile_; }
  pprof::Profile& profile() { return profile_; }

 private:
  pprof::StringId Text(const std::string& text) { return strings_.Intern(text); }
  uint32_t Frame(const std::string& name) {
    profile_.functions.push_back({Text(name), 0, 0, 0});
    pprof::Location location;
    location.address = 0x1000 + profile_.locations.size();
    location.lines = {{static_cast<uint32_t>(profile_.functions.size() - 1), 0}};
    profile_.locations.push_back(location);
    return static_cast<uint32_t>(profile_.locations.size() - 1);
  }
  void Add(const std::vector<std::string>& stack, int64_t count, const std::string& thread,
           int64_t tid, int64_t pid) {
    pprof::Sample sample;
    for (const std::string& name : stack) sample.locations.push_back(Frame(name));
    sample.values = {count, count * 10'000'000};
    sample.labels = {
        {Text("thread"), Text(thread), 0, 0}, {Text("tid"), 0, tid, 0}, {Text("pid"), 0, pid, 0}};
    profile_.samples.push_back(sample);
  }
  pprof::Profile profile_;
  pprof::StringTable strings_;
};

ReportRow RowOf(const CpuSummary& summary, const std::string& name) {
  for (const ReportRow& row : summary.view.Rows())
    if (row.name == name) return row;
  return {};
}

TEST(SummariseCpu, CountsRecursionOnceAndOrdersByFlat) {
  const CpuSummary summary = SummariseCpu(Sampled().Copy(), {});
  EXPECT_EQ(summary.view.samples(), 100);
  EXPECT_EQ(summary.view.total(), 1e9);
  EXPECT_EQ(summary.view.Rows()[0].name, "spin");
  EXPECT_EQ(RowOf(summary, "spin").cumulative, 6e8);
  EXPECT_EQ(RowOf(summary, "main").cumulative, 1e9);
  EXPECT_EQ(RowOf(summary, "main").flat, 0);
  EXPECT_EQ(summary.view.Heaviest().frames, (std::vector<std::string>{"spin", "spin", "main"}));
}

TEST(SummariseCpu, ShowsLossesAsLosses) {
  const CpuSummary summary = SummariseCpu(Sampled().Copy(), {});
  EXPECT_EQ(summary.view.lost(), 5e7);
  ASSERT_EQ(summary.view.losses().size(), 1u);
  EXPECT_EQ(summary.view.losses()[0].name, "[signal blocked]");
}

TEST(SummariseCpu, FocusAndIgnoreLeaveTheTotalAlone) {
  ReportQuestion question;
  question.focus = "^(spin|hash)$";
  question.ignore = "signal";
  const CpuSummary summary = SummariseCpu(Sampled().Copy(), question);
  EXPECT_EQ(summary.view.total(), 1e9);
  EXPECT_EQ(summary.view.shown(), 9e8);
  EXPECT_EQ(RowOf(summary, "other").cumulative, 0);
}

TEST(SummariseCpu, OneProcessOfATree) {
  ReportQuestion question;
  question.only_pid = 8;
  const CpuSummary summary = SummariseCpu(Sampled().Copy(), question);
  EXPECT_EQ(summary.view.total(), 5e7);
  ASSERT_EQ(summary.view.threads().size(), 1u);
  EXPECT_EQ(summary.view.threads()[0].name, "child");
}

TEST(SummariseCpu, ByThreadTellsThreadsOfOneNameApart) {
  ReportQuestion question;
  question.by = "thread";
  const CpuSummary summary = SummariseCpu(Sampled().Copy(), question);
  EXPECT_EQ(RowOf(summary, "worker (tid 70)").flat, 6e8);
  EXPECT_EQ(RowOf(summary, "main (tid 7)").flat, 3.5e8);
}

TEST(SummariseCpu, RefusesWhatIsNoCpuProfile) {
  Sampled sampled;
  for (auto& type : sampled.profile().sample_types) type.type = type.unit;
  EXPECT_THROW(SummariseCpu(sampled.Copy(), {}), CliError);
  EXPECT_THROW(ReadProfile("<html>not a profile</html>"), CliError);
  ReportQuestion question;
  question.focus = "(";
  EXPECT_THROW(SummariseCpu(Sampled().Copy(), question), CliError);
}

TEST(DropsIn, AreUnknownUnlessAnAgentWroteTheProfile) {
  EXPECT_FALSE(DropsIn({}));
  EXPECT_EQ(DropsIn({"sonde 0.1.0: CPU sampled at 100 Hz",
                     "dropped in this interval: 3 samples, stack_cut"}),
            std::vector<std::string>{"3 samples, stack_cut"});
}

}  // namespace
}  // namespace sonde::cli
