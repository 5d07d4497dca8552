// SPDX-License-Identifier: Apache-2.0
// The profiles that count by stack: where time goes (wall), who holds others up (mutex), who waits
// (block), who makes threads (threadcreate). Of a running agent, a plain Go endpoint where Go has
// the profile, or a saved one.
#include "cli/verbs/stacks.h"

#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/cpu_summary.h"
#include "cli/export.h"
#include "cli/open_waits.h"
#include "cli/past_options.h"
#include "cli/progress.h"
#include "cli/read_heap.h"
#include "cli/render_agentless.h"
#include "cli/render_report.h"

namespace sonde::cli {
namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr std::string_view kOff = "off: ";

struct StackVerb {
  const char* name;     // of the verb and of the profile
  const char* type;     // the sample type that counts
  int default_seconds;  // 0: what is, not what happens in a window
  bool recorded;        // the agent keeps the last minutes of it
  const char* nothing;  // when the profile is empty
  const char* next;     // a command for what comes next
};

constexpr StackVerb kWall = {"wall", "wall", 5, true, "no thread was seen", "threads"};
constexpr StackVerb kMutex = {
    "mutex", "delay", 0, true, "nobody held a lock that others waited for", "block"};
constexpr StackVerb kBlock = {"block", "delay", 0, true, "nobody waited", "mutex"};
constexpr StackVerb kThreadCreate = {"threadcreate", "threadcreate",       0,
                                     false,          "no thread was made", "threads"};

struct Options {
  TargetOptions target;
  ReportOptions report;
  int seconds = 0;
  PastOptions past_as_typed;
  PastQuestion past;
};

struct Captured {
  std::string bytes;
  std::string process;
  std::string agent = "saved profile";
  int only_pid = 0;
};

Captured FromTarget(Connection* connection, const StackVerb& verb, const Options& options) {
  Captured captured;
  captured.agent = "plain Go pprof endpoint";
  captured.only_pid = connection->only_pid();
  if (connection->is_agent()) {
    captured.process = ProcessOf(connection->status());
    captured.agent = "agent " + connection->status().value("version", "?");
  }
  std::string path = "/debug/pprof/" + std::string(verb.name);
  const int seconds = options.past.asked() ? 0 : options.seconds;
  if (options.past.asked()) {
    if (!connection->is_agent())
      throw UsageError(connection->description() +
                       " is a plain Go pprof endpoint: it keeps no recording, so --last, --from "
                       "and --to cannot be given");
    path += PastQuery(options.past);
  } else if (seconds > 0) {
    path += "?seconds=" + std::to_string(seconds);
  }
  const std::chrono::seconds window(seconds);
  Progress progress(std::string(verb.name) + " of " + connection->description(), window);
  captured.bytes = connection
                       ->Capture(path, window + kPatience,
                                 [&] {
                                   if (seconds > 0) progress.Tick();
                                 })
                       .body;
  return captured;
}

Captured FromFile(const Options& options, const StackVerb& verb, const std::string& path) {
  if (options.seconds != verb.default_seconds)
    throw UsageError("'" + path + "' is a saved profile: --seconds asks a running process");
  if (options.past.asked())
    throw UsageError("'" + path + "' is a saved profile: --last, --from and --to need an agent");
  Captured captured;
  captured.bytes = ReadSavedProfile(path);
  return captured;
}

// Why the agent did not measure; empty: it did.
std::string WhyOff(const ProfileView& view) {
  for (const std::string& comment : view.comments())
    if (comment.starts_with(kOff)) return comment.substr(kOff.size());
  return "";
}

std::string TitleOf(const Options& options, const Captured& captured, const ProfileView& view,
                    const pprof::Profile& profile) {
  std::string title = captured.process.empty() ? options.target.text : captured.process;
  title += "  " + FormatValue(view.total(), view.value().unit) + " of " + view.value().type;
  if (profile.duration_nanos > 0)
    title += " in " + Seconds(static_cast<double>(profile.duration_nanos) / 1e9);
  if (profile.time_nanos > 0) title += "  " + UtcTime(profile.time_nanos / 1'000'000);
  return title + "  " + captured.agent;
}

void Render(const StackVerb& verb, const Options& options, const std::string& title,
            const ProfileView& view) {
  const Terminal terminal = TerminalOf(STDOUT_FILENO);
  Page page(std::cout, terminal);
  page.Title(title);
  const std::string why_off = WhyOff(view);
  if (!why_off.empty())
    std::cout << "not measured\n";
  else if (view.profile().samples.empty())
    std::cout << (view.total() != 0 ? "nothing is left after the filter" : verb.nothing) << "\n";
  else
    RenderReport(std::cout, terminal, view);
  RenderReportEvidence(&page, view);
  RenderOpenWaits(&page, view);
  if (!why_off.empty()) page.Line("off", why_off);
  for (const std::string& comment : view.comments())
    if (!comment.starts_with(kOff)) page.Line("note", comment);
  if (!options.report.output.empty()) page.Line("saved", options.report.output);
  page.Line("next", "sonde " + std::string(verb.next) + " " + AsTyped(options.target) +
                        "   |   sonde " + verb.name + " " + AsTyped(options.target) + " --tree");
}

ExitCode Answer(const StackVerb& verb, const Options& options, const Captured& captured,
                const ObjectPlaces& places) {
  ReportQuestion question = options.report.question;
  question.only_pid = captured.only_pid;
  LineOptions wanted = options.report.lines;
  if (wanted.mode == "auto" && question.by == "line") wanted.mode = "on";
  pprof::Profile profile = ReadProfile(captured.bytes);
  const LineOutcome lines = AddLines(wanted, places, &profile);
  ValueChoice value = ChooseValue(profile, verb.type);
  const ProfileView view(profile, question, std::move(value));
  const std::string title = TitleOf(options, captured, view, profile);
  if (ExportReport(view, options.report, title, lines.changed ? "" : captured.bytes))
    return ExitCode::kClean;
  if (options.report.json) {
    nlohmann::json json = ReportToJson(view);
    json.update({{"process", captured.process},
                 {"source", captured.agent},
                 {"off", WhyOff(view)},
                 {"waiting", OpenWaitsToJson(view)},
                 {"comments", view.comments()}});
    std::cout << json.dump(2, ' ', false, kReplaceBadUtf8) << "\n";
  } else {
    Render(verb, options, title, view);
  }
  return WhyOff(view).empty() ? ExitCode::kClean : ExitCode::kInconclusive;
}

ExitCode Run(const StackVerb& verb, const Options& options) {
  const Target target = ParseTarget(options.target);
  if (target.kind == Target::Kind::kProfileFile)
    return Answer(verb, options, FromFile(options, verb, target.name), {});
  try {
    Connection connection = Connection::Open(options.target);
    const Captured captured = FromTarget(&connection, verb, options);
    return Answer(verb, options, captured, PlacesOf(target, &connection));
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.report.json);
  }
}

Action Declare(CLI::App* app, const StackVerb& verb, const char* seconds_help) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(app, &options->target);
  options->seconds = verb.default_seconds;
  auto* seconds = app->add_option("-s,--seconds", options->seconds, seconds_help)
                      ->check(InRange(1, 3600))
                      ->type_name("SECONDS");
  if (verb.default_seconds != 0) seconds->capture_default_str();
  if (verb.recorded) AddPastOptions(app, {"--seconds"}, &options->past_as_typed);
  AddReportOptions(app, &options->report);
  return [options, &verb] {
    options->past = ParsePast(options->past_as_typed);
    return Run(verb, *options);
  };
}

constexpr const char* kWindowHelp = "What came in a window of this length, instead of all so far";

}  // namespace

Action DeclareWall(CLI::App* verb) { return Declare(verb, kWall, "Length of the capture"); }
Action DeclareMutex(CLI::App* verb) { return Declare(verb, kMutex, kWindowHelp); }
Action DeclareBlock(CLI::App* verb) { return Declare(verb, kBlock, kWindowHelp); }
Action DeclareThreadCreate(CLI::App* verb) { return Declare(verb, kThreadCreate, kWindowHelp); }

}  // namespace sonde::cli
