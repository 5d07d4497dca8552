// SPDX-License-Identifier: Apache-2.0
#include "profile/report.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/profile/sample_profile.h"

namespace sonde::pprof {
namespace {

constexpr int64_t kMs = 1'000'000;
using FlatCum = std::pair<int64_t, int64_t>;

std::map<std::string, FlatCum> ByName(const Report& report) {
  std::map<std::string, FlatCum> rows;
  for (const Row& row : report.rows) rows[row.name] = {row.flat / kMs, row.cumulative / kMs};
  return rows;
}

TEST(Report, CountsFlatAndCumulativeByFunctionInlinedOnesIncluded) {
  const auto report = MakeReport(SampleProfile(), {});
  ASSERT_TRUE(report.ok()) << report.error();
  EXPECT_EQ(report->type, "cpu");
  EXPECT_EQ(report->unit, "nanoseconds");
  EXPECT_EQ(report->total, 100 * kMs);
  EXPECT_EQ(ByName(*report),
            (std::map<std::string, FlatCum>{{"scan", {30, 30}},
                                            {"parse", {0, 30}},
                                            {"handle", {20, 50}},  // recursion: once
                                            {"main", {0, 60}},
                                            {"libx.so+0x1100", {10, 10}},
                                            {"[dropped: table full]", {40, 40}}}));
  EXPECT_EQ(report->rows[0].name, "[dropped: table full]");
  EXPECT_EQ(report->rows[1].name, "scan");
  EXPECT_EQ(report->rows[4].name, "main");  // flat 0: by cumulative
}

TEST(Report, TakesAnotherSampleTypeByName) {
  ReportOptions options;
  options.sample_type = "samples";
  const auto report = MakeReport(SampleProfile(), options);
  EXPECT_EQ(report->total, 10);
  EXPECT_EQ(report->unit, "count");
  options.sample_type = "bytes";
  EXPECT_EQ(MakeReport(SampleProfile(), options).error(),
            "no sample type \"bytes\", expected one of: samples cpu");
}

TEST(Report, GroupsByLine) {
  ReportOptions options;
  options.group_by = GroupBy::kLine;
  const auto report = MakeReport(SampleProfile(), options);
  const Row& scan = report->rows[1];
  EXPECT_EQ(scan.name, "scan");
  EXPECT_EQ(scan.file, "app.cc");
  EXPECT_EQ(scan.line, 41);
  EXPECT_EQ(scan.mapping, "/srv/app");
}

TEST(Report, GroupsByMapping) {
  ReportOptions options;
  options.group_by = GroupBy::kMapping;
  EXPECT_EQ(ByName(*MakeReport(SampleProfile(), options)),
            (std::map<std::string, FlatCum>{
                {"app", {50, 60}}, {"libx.so", {10, 10}}, {"[no binary]", {40, 40}}}));
}

TEST(Report, GroupsByThread) {
  ReportOptions options;
  options.group_by = GroupBy::kLabel;
  options.label_key = "thread";
  EXPECT_EQ(
      ByName(*MakeReport(SampleProfile(), options)),
      (std::map<std::string, FlatCum>{{"a", {40, 40}}, {"b", {20, 20}}, {"[none]", {40, 40}}}));
  options.label_key = "tid";
  EXPECT_EQ(ByName(*MakeReport(SampleProfile(), options)).count("7"), 1u);
}

TEST(Report, FocusKeepsAndIgnoreDropsWholeSamples) {
  ReportOptions options;
  options.filter.focus = ContainsText("hand");
  auto report = MakeReport(SampleProfile(), options);
  EXPECT_EQ(report->filtered, 50 * kMs);
  EXPECT_EQ(report->total, 100 * kMs);
  EXPECT_EQ(ByName(*report)["main"], FlatCum(0, 50));
  options.filter.ignore = ContainsText("scan");
  report = MakeReport(SampleProfile(), options);
  EXPECT_EQ(report->filtered, 20 * kMs);
  EXPECT_EQ(ByName(*report).count("scan"), 0u);
}

TEST(Report, FiltersByLabel) {
  ReportOptions options;
  options.filter.label_key = "thread";
  options.filter.label_value = "b";
  EXPECT_EQ(MakeReport(SampleProfile(), options)->filtered, 20 * kMs);
  options.filter.label_key = "nobody";
  EXPECT_EQ(MakeReport(SampleProfile(), options)->filtered, 0);
}

TEST(Report, FocusMatchesUnnamedFramesByTheirModule) {
  ReportOptions options;
  options.filter.focus = ContainsText("libx.so");
  EXPECT_EQ(MakeReport(SampleProfile(), options)->filtered, 10 * kMs);
}

TEST(Report, OfADifferenceHasATotalForPercentages) {
  Profile profile = SampleProfile();
  profile.samples[0].values = {-3, -30 * kMs};
  const auto report = MakeReport(profile, {});
  EXPECT_EQ(report->total, 40 * kMs);
  EXPECT_EQ(report->total_absolute, 100 * kMs);
  EXPECT_EQ(report->rows[1].flat, -30 * kMs);  // by size, not by sign
}

TEST(Report, WithoutSampleTypesIsAnError) { EXPECT_FALSE(MakeReport(Profile(), {}).ok()); }

TEST(CallTree, SumsUpEveryPathFromTheRoot) {
  const auto tree = MakeCallTree(SampleProfile(), {});
  ASSERT_TRUE(tree.ok()) << tree.error();
  const auto& nodes = tree->nodes;
  EXPECT_EQ(nodes[0].cumulative, 100 * kMs);
  ASSERT_EQ(nodes[0].children.size(), 2u);
  const CallNode& main = nodes[nodes[0].children[0]];
  EXPECT_EQ(tree->FrameOf(main).name, "main");
  EXPECT_EQ(main.cumulative, 60 * kMs);
  EXPECT_EQ(main.flat, 0);
  const CallNode& handle = nodes[main.children[0]];
  EXPECT_EQ(tree->FrameOf(handle).name, "handle");
  EXPECT_EQ(handle.cumulative, 50 * kMs);
  const CallNode& parse = nodes[handle.children[0]];
  EXPECT_EQ(tree->FrameOf(parse).name, "parse");
  const CallNode& scan = nodes[parse.children[0]];
  EXPECT_EQ(tree->FrameOf(scan).name,
            "scan");  // the inlined function lies below the one that it is part of
  EXPECT_EQ(scan.flat, 30 * kMs);
  const CallNode& recursive = nodes[handle.children[1]];
  EXPECT_EQ(tree->FrameOf(recursive).name, "handle");
  EXPECT_EQ(recursive.flat, 20 * kMs);
}

TEST(CallTree, FlatValuesSumUpToTheRoot) {
  const auto tree = MakeCallTree(SampleProfile(), {});
  int64_t sum = 0;
  for (const CallNode& node : tree->nodes) sum += node.flat;
  EXPECT_EQ(sum, tree->nodes[0].cumulative);
}

TEST(CallTree, ByLabelPutsTheLabelsValueAboveTheStack) {
  ReportOptions options;
  options.group_by = GroupBy::kLabel;
  options.label_key = "thread";
  const auto tree = MakeCallTree(SampleProfile(), options);
  ASSERT_TRUE(tree.ok()) << tree.error();
  std::map<std::string, int64_t> threads;
  for (const uint32_t child : tree->nodes[0].children)
    threads[tree->FrameOf(tree->nodes[child]).name] = tree->nodes[child].cumulative / kMs;
  EXPECT_EQ(threads, (std::map<std::string, int64_t>{{"a", 40}, {"b", 20}, {"[none]", 40}}));
}

TEST(Filter, MatchesSourceFilesToo) {
  ReportOptions options;
  options.filter.ignore = ContainsText("app.cc");
  EXPECT_EQ(MakeReport(SampleProfile(), options)->filtered, 40 * kMs);
}

}  // namespace
}  // namespace sonde::pprof
