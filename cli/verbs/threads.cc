// SPDX-License-Identifier: Apache-2.0
// Where every thread stands now: what `gdb -p … thread apply all bt` answers, without stopping
// anything; and, without an agent, what stopping the process for a moment or its core file tell.
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <limits>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/render_agentless.h"
#include "cli/render_threads.h"
#include "cli/stacks/core_file.h"
#include "cli/stacks/stop_process.h"
#include "cli/stacks/thread_stacks.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

// For threads in uninterruptible sleep; the others stop within microseconds.
constexpr std::chrono::milliseconds kStopPatience{500};

struct Options {
  TargetOptions target;
  ThreadsQuestion question;
  int pid = 0;
  std::string core;
  bool group = false;
  bool json = false;
};

nlohmann::json Parse(const std::string& text) {
  nlohmann::json dump = nlohmann::json::parse(text, nullptr, false);
  if (!dump.is_object()) throw Failure("the agent's answer is no JSON");
  return dump;
}

// A dump without any stack says nothing about where threads stand.
ExitCode Judge(const nlohmann::json& dump) {
  const ThreadsCount count = CountThreads(dump);
  return count.all > 0 && count.without_stack == count.all ? ExitCode::kInconclusive
                                                           : ExitCode::kClean;
}

ExitCode Show(const Options& options, const ThreadsHeader& header, const nlohmann::json& dump) {
  const nlohmann::json left = FilterThreads(dump, options.question);
  if (options.json) {
    // Names may hold anything.
    std::cout << left.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    RenderThreads(std::cout, TerminalOf(STDOUT_FILENO), header, left, options.question);
  }
  return Judge(dump);
}

std::string NameOf(const FrozenProcess& process) {
  return "pid " + std::to_string(process.pid) +
         (process.name.empty() ? "" : " " + Printable(process.name));
}

std::vector<std::string> CostOf(const StoppedProcess& stopped) {
  std::string text =
      "every thread was stopped once, for " + Fixed(stopped.stopped_ms, 1) + " ms in all; ";
  if (stopped.interrupted == 0) {
    text += "no wait was interrupted";
  } else {
    text += Thousands(stopped.interrupted) + (stopped.interrupted == 1 ? " wait" : " waits") +
            " ended with EINTR";
  }
  std::vector<std::string> costs = {std::move(text)};
  if (stopped.never_stopped > 0)
    costs.push_back(Thousands(stopped.never_stopped) + " did not stop: uninterruptible");
  return costs;
}

// By ptrace.
ExitCode OfPid(const Options& options) {
  StoppedProcess stopped = StopAndCopy(options.pid, kStopPatience);
  ThreadsHeader header{NameOf(stopped.process), "no agent", ""};
  header.costs = CostOf(stopped);
  nlohmann::json dump = DumpOf(std::move(stopped.process), /*lives=*/true);
  dump["stopped_ms"] = stopped.stopped_ms;
  dump["interrupted_waits"] = stopped.interrupted;
  return Show(options, header, dump);
}

ExitCode OfCore(const Options& options) {
  CoreFile core = OpenCore(options.core);
  const ThreadsHeader header{NameOf(core.process),
                             core.cause.empty() ? "core file" : "core file, " + core.cause, ""};
  nlohmann::json dump = DumpOf(std::move(core.process), /*lives=*/false);
  dump["cause"] = core.cause;
  return Show(options, header, dump);
}

ExitCode Threads(const Options& options) {
  if (options.group && options.question.all) {
    throw UsageError("--group and --all exclude each other");
  }
  const int ways = !options.target.text.empty() + (options.pid != 0) + !options.core.empty();
  if (ways != 1)
    throw UsageError(
        "expected one of TARGET, --pid PID and --core FILE, got " + std::to_string(ways),
        "try: sonde threads --help");
  if (options.pid != 0) return OfPid(options);
  if (!options.core.empty()) return OfCore(options);
  try {
    Connection connection = Connection::Open(options.target);
    if (!connection.is_agent()) {
      throw NotCovered(connection.description() +
                           " is a plain Go pprof endpoint: its goroutines "
                           "are at /debug/pprof/goroutine?debug=2",
                       "sonde cpu " + AsTyped(options.target));
    }
    const int pid = connection.only_pid();
    const ThreadsHeader header{
        pid == 0 ? ProcessOf(connection.status())
                 : "pid " + std::to_string(pid) + ", a child of " + ProcessOf(connection.status()),
        "agent " + connection.status().value("version", "?"),
        "sonde cpu " + AsTyped(options.target) + " --by thread"};
    return Show(options, header,
                Parse(connection.Get("/debug/sonde/threads" +
                                     (pid == 0 ? "" : "?pid=" + std::to_string(pid)))));
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareThreads(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target, /*required=*/false);
  verb->add_option("--pid", options->pid,
                   "A process without an agent: stops it for a moment, by ptrace")
      ->check(InRange(1, std::numeric_limits<int>::max()))
      ->type_name("PID");
  verb->add_option("--core", options->core, "A core file")->type_name("FILE");
  verb->add_flag("--group", options->group, "Threads that stand in one place together (default)");
  verb->add_flag("--all", options->question.all, "One by one, with whole stacks");
  verb->add_option("--state", options->question.state, "Only threads in this state")
      ->check(OneOf({"running", "waiting", "uninterruptible", "stopped"}))
      ->type_name("running|waiting|uninterruptible|stopped");
  verb->add_flag("--json", options->json, "Answer in JSON");
  return [options] { return Threads(*options); };
}

}  // namespace sonde::cli
