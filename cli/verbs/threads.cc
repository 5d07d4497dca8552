// SPDX-License-Identifier: Apache-2.0
// Where every thread stands now: what `gdb -p … thread apply all bt` answers, without stopping
// anything.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/render_agentless.h"
#include "cli/render_threads.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  ThreadsQuestion question;
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
    std::cout << left.dump(2) << "\n";
  } else {
    RenderThreads(std::cout, TerminalOf(STDOUT_FILENO), header, left, options.question);
  }
  return Judge(dump);
}

ExitCode Threads(const Options& options) {
  if (options.group && options.question.all) {
    throw UsageError("--group and --all exclude each other");
  }
  try {
    Connection connection = Connection::Open(options.target);
    if (!connection.is_agent()) {
      throw NotCovered(connection.description() +
                           " is a plain Go pprof endpoint: its goroutines "
                           "are at /debug/pprof/goroutine?debug=2",
                       "sonde cpu " + AsTyped(options.target));
    }
    const ThreadsHeader header{ProcessOf(connection.status()),
                               "agent " + connection.status().value("version", "?"),
                               "sonde cpu " + AsTyped(options.target) + " --by thread"};
    return Show(options, header, Parse(connection.Get("/debug/sonde/threads")));
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareThreads(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_flag("--group", options->group, "Threads that stand in one place together (default)");
  verb->add_flag("--all", options->question.all, "One by one, with whole stacks");
  verb->add_option("--state", options->question.state, "Only threads in this state")
      ->check(OneOf({"running", "waiting", "uninterruptible", "stopped"}))
      ->type_name("running|waiting|uninterruptible|stopped");
  verb->add_flag("--json", options->json, "Answer in JSON");
  return [options] { return Threads(*options); };
}

}  // namespace sonde::cli
