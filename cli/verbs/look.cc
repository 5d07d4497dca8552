// SPDX-License-Identifier: Apache-2.0
// The front door, `sonde TARGET`: what this version can say in two seconds, and what to type next.
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/cpu_summary.h"
#include "cli/render_agentless.h"
#include "cli/render_cpu.h"
#include "cli/render_status.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  bool json = false;
};

constexpr int kLookSeconds = 2;
constexpr const char* kNotSearched =
    "leaks, stuck threads and deadlocks: this version does not look for them";

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

void RenderText(const Options& options, const Connection& connection, const Captured& captured,
                const CpuSummary& summary) {
  using std::chrono::system_clock;
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch());
  Page page(std::cout, TerminalOf(STDOUT_FILENO));
  if (connection.is_agent())
    RenderState(&page, connection.status(), now.count());
  else
    page.Title(connection.description() + "  " + captured.agent + "  " + UtcTime(now.count()));
  RenderHot(&page, summary);
  page.Line("unseen", kNotSearched);
  for (const std::string& sentence : NotCoveredIn(summary.view.comments())) page.More(sentence);
  const std::string target = AsTyped(options.target);
  page.Line("next",
            "sonde cpu " + target + (connection.is_agent() ? "   |   sonde status " + target : ""));
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
    if (!options.json) {
      RenderText(options, connection, captured, summary);
      return ExitCode::kClean;
    }
    const CpuHeader header{options.target.text,
                           captured.process,
                           captured.agent,
                           "",
                           "sonde cpu " + AsTyped(options.target),
                           ""};
    std::cout << nlohmann::json{{"status", connection.status()},
                                {"cpu", CpuToJson(header, summary)},
                                {"not_searched", kNotSearched}}
                     .dump(2, ' ', false, kReplaceBadUtf8)
              << "\n";
    return ExitCode::kClean;
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
