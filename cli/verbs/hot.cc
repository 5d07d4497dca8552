// SPDX-License-Identifier: Apache-2.0
// CPU at 100 %: which thread of which process, in which function, since when; also for what is
// over.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/duration.h"
#include "cli/json_parts.h"
#include "cli/render_agentless.h"
#include "cli/render_findings.h"
#include "cli/render_report.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

using nlohmann::json;

struct Options {
  TargetOptions target;
  std::string last = "15m";
  bool json = false;
};

const std::vector<std::string> kHot = {"hot_thread", "hot_process", "cpu_throttled"};

int64_t WindowMs(const Options& options) {
  const int64_t window_ms = ParseDuration(options.last).count();
  if (window_ms <= kFindingsKeptMs) return window_ms;
  throw UsageError("--last: what has ended is kept for 15m; expected at most that");
}

std::string Title(const Connection& connection, const json& answer, int64_t window_ms) {
  const auto now = static_cast<int64_t>(NumberIn(answer, "now_unix_ms", 0));
  return ProcessOf(connection.status()) + "  agent " + connection.status().value("version", "?") +
         "  last " + Seconds(static_cast<double>(window_ms) / 1000) + "  " + UtcTime(now);
}

std::string Lost(const json& status) {
  const double samples = status.value("/cpu/samples"_json_pointer, 0.0);
  double dropped = 0;
  if (status.contains("dropped")) {
    for (const auto& [reason, count] : status["dropped"].items()) {
      dropped += count.is_number() ? count.get<double>() : 0;
    }
  }
  return Percent(dropped, samples + dropped) + " of the samples since the agent started";
}

std::string CountText(const json& answer, const char* kind) {
  const size_t count = ChooseFindings(answer, {kind}, 0).size();
  return count == 0 ? "none" : Thousands(count);
}

void Render(const Options& options, const Connection& connection, const json& answer,
            const json& hot) {
  Page page(std::cout, TerminalOf(STDOUT_FILENO));
  page.Title(Title(connection, answer, WindowMs(options)));
  for (const json& finding : hot) RenderFinding(&page, finding);
  if (hot.empty()) page.Line("clean", "no thread was hot, and no CPU limit was reached");
  page.Line("others", "stuck threads " + CountText(answer, "stuck_thread") + ", deadlocks " +
                          CountText(answer, "deadlock"));
  page.Line("lost", Lost(connection.status()));
  const std::string target = AsTyped(options.target);
  page.Line("next", hot.empty() ? "sonde top " + target + " --once   |   sonde cpu " + target
                                : NextOf(hot[0], target));
}

// Without samples a thread's heat is known, but a clean answer would say too much about the past.
ExitCode Judge(const Connection& connection, const json& hot) {
  if (!hot.empty()) return ExitCode::kFinding;
  const int rate = connection.status().value("/cpu/effective_rate_hz"_json_pointer, 0);
  return rate > 0 ? ExitCode::kClean : ExitCode::kInconclusive;
}

ExitCode Hot(const Options& options) {
  const int64_t window_ms = WindowMs(options);
  try {
    Connection connection = Connection::Open(options.target);
    if (!connection.is_agent()) {
      throw NotCovered(connection.description() + " is a plain Go pprof endpoint: it keeps no past",
                       "sonde cpu " + AsTyped(options.target));
    }
    const json answer = FetchFindings(&connection);
    const json hot = ChooseFindings(answer, kHot, window_ms);
    if (options.json) {
      json left = answer;
      left["findings"] = hot;
      std::cout << left.dump(2, ' ', false, kReplaceBadUtf8) << "\n";
    } else {
      Render(options, connection, answer, hot);
    }
    return Judge(connection, hot);
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareHot(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_option("--last", options->last, "How far back to look, at most 15m")
      ->type_name("DURATION")
      ->capture_default_str();
  verb->add_flag("--json", options->json, "Answer in JSON");
  return [options] { return Hot(*options); };
}

}  // namespace sonde::cli
