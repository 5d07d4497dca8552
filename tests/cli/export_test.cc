// SPDX-License-Identifier: Apache-2.0
// Documents of a profile with known numbers: their sums, and what hostile names may not do to them.
#include "cli/export.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/flame_svg.h"
#include "cli/outcome.h"
#include "cli/render_report.h"
#include "profile/decode.h"
#include "profile/gzip.h"
#include "tests/profile/sample_profile.h"

namespace sonde::cli {
namespace {

constexpr int64_t kMs = 1'000'000;

ProfileView ViewOf(const ReportQuestion& question = {}, const std::string& type = "cpu") {
  pprof::Profile profile = pprof::SampleProfile();
  ValueChoice value = ChooseValue(profile, type);
  return {std::move(profile), question, std::move(value)};
}

// The folded text, counted by somebody else.
std::map<std::string, int64_t> Unfold(const std::string& text) {
  std::map<std::string, int64_t> stacks;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t blank = line.rfind(' ');
    stacks[line.substr(0, blank)] += std::stoll(line.substr(blank + 1));
  }
  return stacks;
}

TEST(Folded, HoldsEveryStackWithItsValue) {
  EXPECT_EQ(Unfold(ExportView(ViewOf(), ReportFormat::kFolded, "")),
            (std::map<std::string, int64_t>{{"main;handle;parse;scan", 30 * kMs},
                                            {"main;handle;handle", 20 * kMs},
                                            {"main;libx.so+0x1100", 10 * kMs},
                                            {"[dropped: table full]", 40 * kMs}}));
}

TEST(Folded, ByThreadBeginsWithTheThread) {
  ReportQuestion question;
  question.by = "thread";
  const auto stacks = Unfold(ExportView(ViewOf(question), ReportFormat::kFolded, ""));
  EXPECT_EQ(stacks.at("a;main;handle;parse;scan"), 30 * kMs);
  EXPECT_EQ(stacks.at("? (tid 7);[dropped: table full]"), 40 * kMs);
}

TEST(Folded, OfAnotherSampleType) {
  const auto stacks = Unfold(ExportView(ViewOf({}, "samples"), ReportFormat::kFolded, ""));
  EXPECT_EQ(stacks.at("main;handle;handle"), 2);
}

TEST(Speedscope, WeightsSumUpAndFramesAreInRange) {
  const auto file =
      nlohmann::json::parse(ExportView(ViewOf(), ReportFormat::kSpeedscope, "a title"));
  double sum = 0;
  for (const auto& profile : file["profiles"]) {
    EXPECT_EQ(profile["samples"].size(), profile["weights"].size());
    for (const auto& weight : profile["weights"]) sum += weight.get<double>();
    for (const auto& sample : profile["samples"])
      for (const auto& frame : sample) EXPECT_LT(frame, file["shared"]["frames"].size());
  }
  EXPECT_EQ(sum, 100e6);
  EXPECT_EQ(file["profiles"].size(), 3u);  // threads a, b and tid 7
  EXPECT_EQ(file["profiles"][0]["unit"], "nanoseconds");
}

TEST(Pprof, HoldsWhatTheQuestionLeaves) {
  ReportQuestion question;
  question.focus = "scan";
  const std::string document = ExportView(ViewOf(question), ReportFormat::kPprof, "");
  EXPECT_TRUE(LooksGzipped(document));
  const auto profile = pprof::Decode(document);
  ASSERT_TRUE(profile.ok()) << profile.error();
  ASSERT_EQ(profile->samples.size(), 1u);
  EXPECT_EQ(profile->samples[0].values[1], 30 * kMs);
}

TEST(Documents, HostileNamesStayText) {
  pprof::Profile profile = pprof::SampleProfile();
  const std::string evil = "</script><script>alert(1)</script>\xff\x01;\n\"&";
  for (std::string& text : profile.strings)
    if (text == "scan") text = evil;
  const ValueChoice value = ChooseValue(profile, "cpu");
  const ProfileView view(std::move(profile), {}, value);
  const std::string page = ExportView(view, ReportFormat::kHtml, evil);
  EXPECT_EQ(page.find("alert(1)</script>"), std::string::npos);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  const std::string svg = ExportView(view, ReportFormat::kSvg, evil);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(svg.find('\x01'), std::string::npos);
  EXPECT_EQ(svg.find('\xff'), std::string::npos);
  EXPECT_TRUE(nlohmann::json::accept(ExportView(view, ReportFormat::kSpeedscope, evil)));
  EXPECT_TRUE(nlohmann::json::accept(ExportView(view, ReportFormat::kJson, evil)));
  const auto stacks = Unfold(ExportView(view, ReportFormat::kFolded, ""));
  EXPECT_EQ(stacks.size(), 4u);
}

TEST(EscapeMarkup, KeepsUtf8AndNothingElse) {
  EXPECT_EQ(EscapeMarkup("a<b> & \"ü…\xf0\x9f\x98\x80"),
            "a&lt;b&gt; &amp; &quot;ü…\xf0\x9f\x98\x80");
  EXPECT_EQ(EscapeMarkup("\xc3(\xed\xa0\x80\xc0\xaf\xf5"), "?(??????");
}

TEST(Tree, TopKeepsCallersOfWhatItShows) {
  ReportQuestion question;
  question.tree = true;
  question.top = 3;
  const nlohmann::json tree = ReportToJson(ViewOf(question))["tree"];
  EXPECT_EQ(tree["left_out"], 4);  // of eight nodes, the root included: main, handle, [dropped]
  std::map<std::string, double> roots;
  for (const auto& child : tree["children"]) roots[child["name"]] = child["cumulative"];
  EXPECT_EQ(roots,
            (std::map<std::string, double>{{"main", 60e6}, {"[dropped: table full]", 40e6}}));
  EXPECT_EQ(tree["children"][0]["children"][0]["name"], "handle");
}

TEST(Tree, IndentsWhereACallerCallsSeveral) {
  ReportQuestion question;
  question.tree = true;
  std::ostringstream out;
  RenderReport(out, Terminal{}, ViewOf(question));
  EXPECT_NE(out.str().find("   60 %            main\n   50 %              handle\n"
                           "   30 %                parse\n   30 %     30 %         scan\n"),
            std::string::npos)
      << out.str();
}

TEST(Report, ShowsValuesOfUnitsThatAreNotTime) {
  pprof::Profile profile = pprof::SampleProfile();
  for (std::string& text : profile.strings) {
    if (text == "nanoseconds") text = "bytes";
    if (text == "cpu") text = "inuse_space";
  }
  const ValueChoice value = ChooseValue(profile, "inuse_space");
  EXPECT_EQ(value.unit, "bytes");
  std::ostringstream out;
  RenderReport(out, Terminal{}, ProfileView(std::move(profile), {}, value));
  EXPECT_NE(out.str().find("28.6 MiB   30 %"), std::string::npos) << out.str();
}

TEST(ChooseValue, NamesWhatThereIs) {
  try {
    (void)ChooseValue(pprof::SampleProfile(), "inuse_space");
    FAIL();
  } catch (const CliError& error) {
    EXPECT_STREQ(error.what(), "this profile has no inuse_space: it has samples, cpu");
  }
}

TEST(OutputFormat, FollowsTheNameUnlessOneIsGiven) {
  const auto format = [](const std::string& output, const std::string& given = "") {
    ReportOptions options;
    options.output = output;
    options.format = given;
    return options.OutputFormat();
  };
  EXPECT_EQ(format("a.pb.gz"), ReportFormat::kPprof);
  EXPECT_EQ(format("dir.x/noend"), ReportFormat::kPprof);
  EXPECT_EQ(format("a.svg"), ReportFormat::kSvg);
  EXPECT_EQ(format("a.html"), ReportFormat::kHtml);
  EXPECT_EQ(format("a.folded"), ReportFormat::kFolded);
  EXPECT_EQ(format("a.speedscope.json"), ReportFormat::kSpeedscope);
  EXPECT_EQ(format("a.json"), ReportFormat::kJson);
  EXPECT_EQ(format("-", "html"), ReportFormat::kHtml);
  EXPECT_EQ(format("a.png", "svg"), ReportFormat::kSvg);
  EXPECT_THROW(format("a.png"), CliError);
}

}  // namespace
}  // namespace sonde::cli
