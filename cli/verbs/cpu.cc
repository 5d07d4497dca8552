// SPDX-License-Identifier: Apache-2.0
// Where CPU time goes: a capture of now, the recording of the last minutes, a region file that a
// process left, or a profile that was saved.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/export.h"
#include "cli/past_options.h"
#include "cli/proc.h"
#include "cli/region_file.h"
#include "cli/render_agentless.h"
#include "cli/render_cpu.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

constexpr size_t kMaxSavedProfile = size_t{256} << 20;
constexpr double kTooMuchLost = 0.5;

struct Options {
  TargetOptions target;
  ReportOptions report;
  CaptureOptions capture;
  PastOptions past;
};

std::string NextCommand(const Options& options, bool is_file) {
  const bool saved = options.report.output.ends_with(".pb.gz");
  if (is_file && IsRegionFile(options.target.text) && !saved)
    return "sonde cpu " + options.target.text +
           " -o cpu.pb.gz   then   go tool pprof -http=: cpu.pb.gz";
  const std::string file = is_file && !saved ? options.target.text
                           : saved           ? options.report.output
                                             : "";
  if (!file.empty())
    return "go tool pprof -http=: " + file + "   |   sonde cpu " + file + " --by thread";
  return "sonde cpu " + AsTyped(options.target) +
         " -o cpu.pb.gz   then   go tool pprof -http=: cpu.pb.gz";
}

// An empty or mostly lost profile must not be read as "this process is idle".
ExitCode Judge(const Captured& captured, const CpuSummary& summary) {
  const ProfileView& view = summary.view;
  if (view.total() <= 0 && captured.cpu_is_off) return ExitCode::kInconclusive;
  return view.lost() > kTooMuchLost * view.total() ? ExitCode::kInconclusive : ExitCode::kClean;
}

Captured ReadSaved(const std::string& path, const PastQuestion& past) {
  if (IsRegionFile(path)) return ReadRegionFile(path, past);
  if (past.asked())
    throw UsageError("'" + path +
                     "' is a saved profile: --last, --from and --to need an agent or "
                     "its region file");
  auto bytes = ReadSmallFile(path, kMaxSavedProfile);
  if (!bytes) throw Failure("cannot read " + path);
  Captured captured;
  captured.profile = std::move(*bytes);
  captured.agent = "saved profile";
  return captured;
}

// Who asks for lines wants them wherever the objects are; a table of functions can do without.
LineOptions WantedLines(const ReportOptions& report) {
  LineOptions lines = report.lines;
  if (lines.mode == "auto" && report.question.by == "line") lines.mode = "on";
  return lines;
}

ExitCode Answer(const Options& options, const Captured& captured, const ObjectPlaces& places,
                bool is_file) {
  ReportQuestion question = options.report.question;
  question.only_pid = captured.only_pid;
  const LineOptions wanted = WantedLines(options.report);
  pprof::Profile profile = ReadProfile(captured.profile);
  const LineOutcome lines = AddLines(wanted, places, &profile);
  const CpuSummary summary = SummariseCpu(std::move(profile), question);
  CpuHeader header{options.target.text, captured.process, captured.agent, "", "", ""};
  header.saved_as = options.report.output;
  header.next = NextCommand(options, is_file);
  if (wanted.mode == "on") header.lines = DescribeLines(lines);
  if (ExportReport(summary.view, options.report, CpuTitle(header, summary),
                   lines.changed ? "" : captured.profile))
    return ExitCode::kClean;
  if (options.report.json)
    std::cout << CpuToJson(header, summary).dump(2, ' ', false, kReplaceBadUtf8) << "\n";
  else
    RenderCpu(std::cout, TerminalOf(STDOUT_FILENO), header, summary);
  return Judge(captured, summary);
}

ExitCode Cpu(const Options& options) {
  const Target target = ParseTarget(options.target);
  if (target.kind == Target::Kind::kProfileFile)
    return Answer(options, ReadSaved(target.name, options.capture.past), {}, true);
  try {
    Connection connection = Connection::Open(options.target);
    const Captured captured = CaptureCpu(&connection, options.capture);
    if (!captured.note.empty()) std::cerr << "sonde: " << captured.note << "\n";
    return Answer(options, captured, PlacesOf(target, &connection), false);
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.report.json);
  }
}

}  // namespace

Action DeclareCpu(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_option("-s,--seconds", options->capture.seconds, "Length of the capture")
      ->check(InRange(1, 3600))
      ->type_name("SECONDS")
      ->capture_default_str();
  verb->add_option("--hz", options->capture.hz, "Samples per second of CPU time, while it runs")
      ->check(InRange(1, 1000))
      ->type_name("HZ");
  AddPastOptions(verb, {"--seconds", "--hz"}, &options->past);
  AddReportOptions(verb, &options->report);
  return [options] {
    options->capture.past = ParsePast(options->past);
    return Cpu(*options);
  };
}

}  // namespace sonde::cli
