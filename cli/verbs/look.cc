// SPDX-License-Identifier: Apache-2.0
// The front door, `sonde TARGET`: every finding, worst first, what two seconds show, and
// what to type next.
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/cpu_summary.h"
#include "cli/json_parts.h"
#include "cli/render_agentless.h"
#include "cli/render_cpu.h"
#include "cli/render_findings.h"
#include "cli/render_status.h"
#include "cli/verbs/verbs.h"
#include "profile/function_name.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  bool json = false;
};

constexpr int kLookSeconds = 2;
constexpr const char* kNotSearched = "leaks: this version does not look for them";

std::string HottestThread(const CpuSummary& summary) {
  const ReportThread& thread = summary.view.threads()[0];
  const double window_ns = summary.window_seconds * 1e9;
  return thread.name + (thread.tid > 0 ? " (tid " + std::to_string(thread.tid) + ")" : "") + ", " +
         (window_ns > 0 ? Percent(thread.value, window_ns) + " of a core"
                        : Percent(thread.value, summary.view.total()) + " of the CPU time");
}

void RenderHot(Page* page, const CpuSummary& summary) {
  if (summary.window_seconds > 0)
    page->Line("CPU", Fixed(summary.view.total() / 1e9 / summary.window_seconds, 2) +
                          " cores over " + Seconds(summary.window_seconds));
  if (!summary.view.threads().empty()) page->Line("thread", HottestThread(summary));
  const ReportStack heaviest = summary.view.Heaviest();
  if (heaviest.frames.empty()) return;
  const ReportRow top = summary.view.Rows()[0];
  page->Line("function",
             ShortFunctionName(top.name) + "  " + Percent(top.flat, summary.view.total()));
  const std::string share = Percent(heaviest.value, summary.view.total()) + "  ";
  page->Line("heaviest",
             share + OneLineStack(heaviest.frames, page->text_width() - DisplayWidth(share)));
}

void RenderFindings(Page* page, const nlohmann::json& answer) {
  for (const nlohmann::json& finding : ListIn(answer, "findings")) RenderFinding(page, finding);
  if (ListIn(answer, "findings").empty()) {
    page->Line("clean", "no hot or stuck thread, no deadlock, no CPU limit reached");
  }
}

// The worst finding's, else where to look further.
std::string NextCommand(const Connection& connection, const nlohmann::json& answer,
                        const std::string& target) {
  const nlohmann::json& findings = ListIn(answer, "findings");
  if (!findings.empty()) return NextOf(findings[0], target);
  return "sonde cpu " + target + (connection.is_agent() ? "   |   sonde status " + target : "");
}

void RenderText(const Options& options, const Connection& connection, const Captured& captured,
                const CpuSummary& summary, const nlohmann::json& answer) {
  using std::chrono::system_clock;
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch());
  Page page(std::cout, TerminalOf(STDOUT_FILENO));
  if (connection.is_agent())
    RenderState(&page, connection.status(), now.count());
  else
    page.Title(connection.description() + "  " + captured.agent + "  " + UtcTime(now.count()));
  if (connection.is_agent()) RenderFindings(&page, answer);
  RenderHot(&page, summary);
  page.Line("unseen", kNotSearched);
  for (const nlohmann::json& sentence : ListIn(answer, "not_searched")) {
    if (sentence.is_string()) page.More(Printable(sentence.get<std::string>()));
  }
  for (const std::string& sentence : NotCoveredIn(summary.view.comments())) page.More(sentence);
  page.Line("next", NextCommand(connection, answer, AsTyped(options.target)));
}

// Silence of an agent that does not sample is not a clean bill.
ExitCode Judge(const Connection& connection, const Captured& captured,
               const nlohmann::json& answer) {
  if (!ListIn(answer, "findings").empty()) return ExitCode::kFinding;
  return connection.is_agent() && captured.cpu_is_off ? ExitCode::kInconclusive : ExitCode::kClean;
}

ExitCode Look(const Options& options) {
  try {
    Connection connection = Connection::Open(options.target);
    CaptureOptions capture;
    capture.seconds = kLookSeconds;
    const Captured captured = CaptureCpu(&connection, capture);
    ReportQuestion question;
    question.only_pid = captured.only_pid;
    const CpuSummary summary = SummariseCpu(ReadProfile(captured.profile), question);
    const nlohmann::json answer =
        connection.is_agent() ? FetchFindings(&connection) : nlohmann::json::object();
    if (!options.json) {
      RenderText(options, connection, captured, summary, answer);
      return Judge(connection, captured, answer);
    }
    const CpuHeader header{options.target.text,
                           captured.process,
                           captured.agent,
                           "",
                           "sonde cpu " + AsTyped(options.target),
                           ""};
    std::cout << nlohmann::json{{"status", connection.status()},
                                {"findings", ListIn(answer, "findings")},
                                {"cpu", CpuToJson(header, summary)},
                                {"not_searched", kNotSearched}}
                     .dump(2, ' ', false, kReplaceBadUtf8)
              << "\n";
    return Judge(connection, captured, answer);
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareLook(CLI::App* root) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(root, &options->target, false);
  root->add_flag("--json", options->json, "Answer in JSON");
  return [options, root] {
    if (!options->target.text.empty()) return Look(*options);
    std::cout << root->help();
    return ExitCode::kUsage;
  };
}

}  // namespace sonde::cli
