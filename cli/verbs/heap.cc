// SPDX-License-Identifier: Apache-2.0
// What is live on the heap, and who allocated it: now, only what is old, or what changed in a
// window; or a profile that was saved.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/duration.h"
#include "cli/export.h"
#include "cli/progress.h"
#include "cli/read_heap.h"
#include "cli/render_agentless.h"
#include "cli/render_heap.h"
#include "cli/render_report.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

constexpr std::chrono::seconds kHeapTime{30};
constexpr double kTooMuchLost = 0.5;

struct Options {
  TargetOptions target;
  ReportOptions report;
  int seconds = 0;  // 0: what is, not what changed
  std::string age;
  std::string last;
  bool peak = false;
  std::string sort = "inuse";
  std::chrono::seconds min_age{0};
  std::chrono::seconds last_time{0};
};

struct Captured {
  std::string bytes;
  HeapHeader header;
  int only_pid = 0;
};

std::string PathOf(const Options& options) {
  std::string query;
  const auto add = [&query](const char* name, int64_t value) {
    query += std::string(query.empty() ? "?" : "&") + name + "=" + std::to_string(value);
  };
  if (options.seconds > 0) add("seconds", options.seconds);
  if (options.min_age.count() > 0) add("age", options.min_age.count());
  if (options.peak) add("peak", 1);
  if (options.last_time.count() > 0)
    query += std::string(query.empty() ? "?" : "&") +
             "last=" + std::to_string(options.last_time.count()) + "s";
  return "/debug/pprof/heap" + query;
}

// What only an agent can answer; a Go endpoint would leave the question out and answer another.
void RefuseOfGo(const Connection& connection, const Options& options) {
  const std::string plain = connection.description() + " is a plain Go pprof endpoint: it ";
  if (!options.age.empty()) throw UsageError(plain + "knows no ages, so --age cannot be given");
  if (!options.last.empty() || options.peak)
    throw UsageError(plain + "has no recording, so --last and --peak cannot be given");
}

Captured FromTarget(Connection* connection, const Options& options) {
  Captured captured;
  captured.header.target = options.target.text;
  captured.header.agent = "plain Go pprof endpoint";
  captured.only_pid = connection->only_pid();
  if (connection->is_agent()) {
    captured.header.process = ProcessOf(connection->status());
    captured.header.agent = "agent " + connection->status().value("version", "?");
  } else {
    RefuseOfGo(*connection, options);
  }
  const std::chrono::seconds window(options.seconds);
  Progress progress("heap of " + connection->description(), window);
  Response response = connection->Capture(PathOf(options), window + kHeapTime, [&] {
    if (options.seconds > 0) progress.Tick();
  });
  captured.bytes = std::move(response.body);
  if (!options.age.empty()) captured.header.asked = "older than " + options.age;
  if (!options.last.empty()) captured.header.asked = "allocated in the last " + options.last;
  if (options.peak) captured.header.asked = "at its peak";
  return captured;
}

Captured FromFile(const std::string& path, const Options& options) {
  if (options.seconds > 0 || !options.age.empty() || !options.last.empty() || options.peak)
    throw UsageError(
        "'" + path +
        "' is a saved profile: --seconds, --age, --last and --peak ask a running process");
  Captured captured;
  captured.bytes = ReadSavedProfile(path);
  captured.header.target = options.target.text;
  captured.header.agent = "saved profile";
  return captured;
}

std::string NextCommand(const Options& options, bool is_file) {
  const std::string& saved = options.report.output;
  if (saved.ends_with(".pb.gz")) return "sonde diff " + saved + " " + AsTyped(options.target);
  const std::string self = "sonde heap " + AsTyped(options.target);
  if (is_file) return "go tool pprof -http=: " + options.target.text + "   |   " + self + " --tree";
  const bool is_plain = options.seconds == 0 && options.age.empty() && options.last.empty();
  if (is_plain && !options.peak && options.sort == "inuse")
    return self + " --age 10m   |   " + self + " --peak   |   " + self + " -o heap.pb.gz";
  return self + " -o heap.pb.gz   then   go tool pprof -http=: heap.pb.gz";
}

// A heap that was mostly not recorded must not be read as a small one.
ExitCode Judge(const HeapSummary& summary) {
  double lost = 0;
  for (const ReportLoss& loss : summary.view.losses())
    if (loss.name != "[mmap]") lost += loss.value;
  return lost > kTooMuchLost * summary.view.total() ? ExitCode::kInconclusive : ExitCode::kClean;
}

ExitCode Answer(const Options& options, Captured captured, const ObjectPlaces& places,
                bool is_file) {
  ReportQuestion question = options.report.question;
  question.only_pid = captured.only_pid;
  LineOptions wanted = options.report.lines;
  if (wanted.mode == "auto" && question.by == "line") wanted.mode = "on";
  pprof::Profile profile = ReadHeapProfile(options.target.text, captured.bytes);
  const LineOutcome lines = AddLines(wanted, places, &profile);
  const HeapSummary summary = SummariseHeap(std::move(profile), question, options.sort + "_space");
  captured.header.saved_as = options.report.output;
  captured.header.next = NextCommand(options, is_file);
  if (ExportReport(summary.view, options.report, HeapTitle(captured.header, summary),
                   lines.changed ? "" : captured.bytes))
    return ExitCode::kClean;
  if (options.report.json)
    std::cout << HeapToJson(captured.header, summary).dump(2, ' ', false, kReplaceBadUtf8) << "\n";
  else
    RenderHeap(std::cout, TerminalOf(STDOUT_FILENO), captured.header, summary);
  return Judge(summary);
}

ExitCode Heap(const Options& options) {
  const Target target = ParseTarget(options.target);
  if (target.kind == Target::Kind::kProfileFile)
    return Answer(options, FromFile(target.name, options), {}, true);
  try {
    Connection connection = Connection::Open(options.target);
    Captured captured = FromTarget(&connection, options);
    return Answer(options, std::move(captured), PlacesOf(target, &connection), false);
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.report.json);
  }
}

std::chrono::seconds ParseSeconds(const char* option, const std::string& text) {
  if (text.empty()) return std::chrono::seconds{0};
  const auto time = std::chrono::duration_cast<std::chrono::seconds>(ParseDuration(text));
  if (time.count() < 1)
    throw UsageError(std::string(option) + " '" + text + "': expected a second or more");
  return time;
}

void ReadTimes(Options* options) {
  options->min_age = ParseSeconds("--age", options->age);
  options->last_time = ParseSeconds("--last", options->last);
  if ((options->seconds > 0) + !options->last.empty() + options->peak > 1)
    throw UsageError("expected one of --seconds, --last and --peak");
  if (options->peak && !options->age.empty())
    throw UsageError("expected --peak without --age: it is a moment of the past");
  if (options->peak && options->sort == "alloc")
    throw UsageError("expected --peak without --sort alloc: it is what was in use");
}

}  // namespace

Action DeclareHeap(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_option("-s,--seconds", options->seconds,
                   "What changed in a window of this length, instead of what is")
      ->check(InRange(1, 3600))
      ->type_name("SECONDS");
  verb->add_option("--age", options->age, "Only blocks that are at least so old: 90s, 10m, 2h")
      ->type_name("DURATION");
  verb->add_option("--last", options->last,
                   "Only what was allocated in the last time: 30s, 5m; what of it is in use, or, "
                   "with --sort alloc, all of it")
      ->type_name("DURATION");
  verb->add_flag("--peak", options->peak, "What was in use when that was most");
  verb->add_option("--sort", options->sort, "By what is in use, or by all that was ever allocated")
      ->check(OneOf({"inuse", "alloc"}))
      ->type_name("inuse|alloc")
      ->capture_default_str();
  AddReportOptions(verb, &options->report);
  return [options] {
    ReadTimes(options.get());
    return Heap(*options);
  };
}

}  // namespace sonde::cli
