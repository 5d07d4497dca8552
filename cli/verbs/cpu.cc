// SPDX-License-Identifier: Apache-2.0
// Where CPU time goes: a capture of now, or a profile that was saved.
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/proc.h"
#include "cli/render_agentless.h"
#include "cli/render_cpu.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

constexpr size_t kMaxSavedProfile = size_t{256} << 20;
constexpr double kTooMuchLost = 0.5;

struct Options {
  TargetOptions target;
  CpuQuestion question;
  CaptureOptions capture;
  std::string output;
  bool json = false;
};

void Save(const std::string& path, const std::string& profile) {
  if (path == "-") {
    if (isatty(STDOUT_FILENO) == 1)
      throw UsageError("a profile is binary: redirect it, or give -o FILE");
    std::cout << profile << std::flush;
    if (!std::cout) throw Failure("cannot write the profile to stdout");
    return;
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << profile << std::flush;
  if (!file) throw Failure("cannot write the profile to " + path);
}

std::string NextCommand(const Options& options, bool is_file) {
  const std::string file = is_file ? options.target.text : options.output;
  if (!file.empty())
    return "go tool pprof -http=: " + file + "   |   sonde cpu " + file + " --by thread";
  return "sonde cpu " + AsTyped(options.target) +
         " -o cpu.pb.gz   then   go tool pprof -http=: cpu.pb.gz";
}

// An empty or mostly lost profile must not be read as "this process is idle".
ExitCode Judge(const Captured& captured, const CpuSummary& summary) {
  if (summary.total_ns <= 0 && captured.cpu_is_off) return ExitCode::kInconclusive;
  return summary.lost_ns > kTooMuchLost * summary.total_ns ? ExitCode::kInconclusive
                                                           : ExitCode::kClean;
}

Captured ReadSaved(const std::string& path) {
  auto bytes = ReadSmallFile(path, kMaxSavedProfile);
  if (!bytes) throw Failure("cannot read " + path);
  Captured captured;
  captured.profile = std::move(*bytes);
  captured.agent = "saved profile";
  return captured;
}

ExitCode Answer(const Options& options, const Captured& captured, bool is_file) {
  if (!options.output.empty()) Save(options.output, captured.profile);
  if (options.output == "-") return ExitCode::kClean;
  CpuQuestion question = options.question;
  question.only_pid = captured.only_pid;
  const CpuSummary summary = SummariseCpu(captured.profile, question);
  CpuHeader header{options.target.text, captured.process, captured.agent, "", ""};
  header.saved_as = options.output;
  header.next = NextCommand(options, is_file);
  if (options.json)
    std::cout << CpuToJson(header, summary, question).dump(2) << "\n";
  else
    RenderCpu(std::cout, TerminalOf(STDOUT_FILENO), header, summary, question);
  return Judge(captured, summary);
}

ExitCode Cpu(const Options& options) {
  const Target target = ParseTarget(options.target);
  if (target.kind == Target::Kind::kProfileFile)
    return Answer(options, ReadSaved(target.name), true);
  try {
    Connection connection = Connection::Open(options.target);
    return Answer(options, CaptureCpu(&connection, options.capture), false);
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
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
  verb->add_option("-t,--top", options->question.top, "How many rows")
      ->check(InRange(1, 100'000))
      ->type_name("N")
      ->capture_default_str();
  verb->add_option("--by", options->question.by, "What a row is")
      ->check(OneOf({"function", "thread", "mapping"}))
      ->type_name("function|thread|mapping")
      ->capture_default_str();
  verb->add_option("--focus", options->question.focus, "Only stacks with a function that matches")
      ->type_name("REGEX");
  verb->add_option("--ignore", options->question.ignore, "No stacks with a function that matches")
      ->type_name("REGEX");
  verb->add_option("-o,--output", options->output,
                   "Save the profile too; - is stdout, and nothing else")
      ->type_name("FILE");
  verb->add_flag("--json", options->json, "Answer in JSON");
  return [options] { return Cpu(*options); };
}

}  // namespace sonde::cli
