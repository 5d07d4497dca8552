// SPDX-License-Identifier: Apache-2.0
// What changed between two profiles: two files, or a running target against a file. Reads
// profile.proto and the text heap profiles of gperftools and jemalloc.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>

#include "cli/connection.h"
#include "cli/export.h"
#include "cli/read_heap.h"
#include "cli/render_report.h"
#include "cli/verbs/verbs.h"
#include "profile/merge.h"

namespace sonde::cli {
namespace {

constexpr size_t kValueWidth = 12;
constexpr std::chrono::seconds kHeapTime{30};

struct Options {
  TargetOptions before;  // its text alone differs from the second one's
  std::string after;
  std::string type;
  ReportOptions report;
};

struct Side {
  std::string name;
  pprof::Profile profile;
};

Side FromFile(const std::string& path) {
  return {path, ReadHeapProfile(path, ReadSavedProfile(path))};
}

// A running target is asked for its heap: a profile of what is, which needs no window.
Side FromTarget(const TargetOptions& target) {
  Connection connection = Connection::Open(target);
  const std::string bytes = connection.Capture("/debug/pprof/heap", kHeapTime, [] {}).body;
  return {connection.description() + " now", ReadHeapProfile(target.text, bytes)};
}

Side Open(TargetOptions options, const std::string& text) {
  options.text = text;
  const Target target = ParseTarget(options);
  return target.kind == Target::Kind::kProfileFile ? FromFile(target.name) : FromTarget(options);
}

std::string TypesOf(const pprof::Profile& profile) {
  std::string types;
  for (const pprof::ValueType& type : profile.sample_types)
    types += (types.empty() ? "" : " ") + profile.Text(type.type);
  return types;
}

pprof::Profile Subtract(const Side& before, const Side& after) {
  auto change = pprof::Diff(before.profile, after.profile);
  if (!change)
    throw Failure(before.name + " holds " + TypesOf(before.profile) + ", " + after.name +
                      " holds " + TypesOf(after.profile) + ": two profiles of one kind are needed",
                  "sonde heap or sonde cpu with -o FILE saves one to compare with");
  return std::move(*change);
}

double TotalOf(const Side& side, const ReportQuestion& question, const std::string& type) {
  return ProfileView(side.profile, question, ChooseValue(side.profile, type)).shown();
}

std::string Change(double value, const std::string& unit) {
  return (value > 0 ? "+" : "") + FormatValue(value, unit);
}

struct Answer {
  std::string before_name;
  std::string after_name;
  double before = 0;
  double after = 0;
  std::vector<ReportRow> rows;  // that changed, the largest change first
};

Answer AnswerOf(const Side& before, const Side& after, const ProfileView& change) {
  const ReportQuestion& question = change.question();
  const std::string& type = change.value().type;
  Answer answer{before.name, after.name, TotalOf(before, question, type),
                TotalOf(after, question, type), change.Rows()};
  const size_t top = question.top == 0 ? kDefaultRows : question.top;
  if (answer.rows.size() > top) answer.rows.resize(top);
  return answer;
}

void Render(const Answer& answer, const ProfileView& change) {
  const std::string& unit = change.value().unit;
  const Terminal terminal = TerminalOf(STDOUT_FILENO);
  Page page(std::cout, terminal);
  page.Line("before", FormatValue(answer.before, unit) + "  " + answer.before_name);
  page.Line("after", FormatValue(answer.after, unit) + "  " + answer.after_name);
  page.Line("change", Change(answer.after - answer.before, unit) + " of " + change.value().type);
  if (answer.rows.empty()) return page.More("no change in any stack");
  std::cout << PadLeft("flat", kValueWidth) << PadLeft("cum", kValueWidth) << "   "
            << change.question().by << "\n";
  for (const ReportRow& row : answer.rows) {
    const std::string name = Printable(row.name) + (row.place.empty() ? "" : " " + row.place);
    std::cout << PadLeft(Change(row.flat, unit), kValueWidth)
              << PadLeft(Change(row.cumulative, unit), kValueWidth) << "   "
              << Ellipsis(name, terminal.width - 2 * kValueWidth - 3) << "\n";
  }
}

nlohmann::json ToJson(const Answer& answer, const ProfileView& change) {
  nlohmann::json rows = nlohmann::json::array();
  for (const ReportRow& row : answer.rows)
    rows.push_back({{"name", row.name},
                    {"place", row.place},
                    {"module", row.module},
                    {"flat", row.flat},
                    {"cumulative", row.cumulative}});
  return {{"type", change.value().type},
          {"unit", change.value().unit},
          {"before", {{"name", answer.before_name}, {"total", answer.before}}},
          {"after", {{"name", answer.after_name}, {"total", answer.after}}},
          {"change", answer.after - answer.before},
          {"by", change.question().by},
          {"rows", std::move(rows)}};
}

ExitCode Diff(const Options& options) {
  const Side before = Open(options.before, options.before.text);
  const Side after = Open(options.before, options.after);
  pprof::Profile difference = Subtract(before, after);
  // A difference has no type of its own when nothing is left of it.
  const ValueChoice value = ChooseValue(difference, options.type);
  const ProfileView change(std::move(difference), options.report.question, value);
  if (ExportReport(change, options.report, before.name + " → " + after.name))
    return ExitCode::kClean;
  const Answer answer = AnswerOf(before, after, change);
  if (options.report.json)
    std::cout << ToJson(answer, change).dump(2, ' ', false, kReplaceBadUtf8) << "\n";
  else
    Render(answer, change);
  return ExitCode::kClean;
}

}  // namespace

Action DeclareDiff(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->before);
  verb->add_option("AFTER", options->after, "File or TARGET that is compared with the first")
      ->required()
      ->type_name("");
  verb->add_option("--type", options->type, "What is compared, e.g. inuse_space or alloc_space")
      ->type_name("SAMPLE_TYPE");
  AddReportOptions(verb, &options->report);
  return [options] { return Diff(*options); };
}

}  // namespace sonde::cli
