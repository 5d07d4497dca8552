// SPDX-License-Identifier: Apache-2.0
// Where the memory is: the page that adds up.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/render.h"
#include "cli/render_agentless.h"
#include "cli/render_memory.h"
#include "cli/token_options.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  bool json = false;
  bool release = false;
  bool force = false;
};

// The agent reads the memory of the process that it runs in; the tree's others have no page.
void RefuseOthers(const Connection& connection) {
  const int agent_pid = connection.status().value("pid", 0);
  if (connection.only_pid() == 0 || connection.only_pid() == agent_pid) return;
  throw NotCovered("pid " + std::to_string(connection.only_pid()) + " is served by the agent in " +
                       std::to_string(agent_pid) + ", which sees its own memory only",
                   "sonde memory " + std::to_string(agent_pid));
}

// The service's allocator gives back what it keeps; what came of it, in a sentence.
std::string Release(Connection* connection, const Options& options) {
  const std::string answer =
      connection->Post(std::string("/debug/sonde/release") + (options.force ? "?force=1" : ""), "");
  const auto release = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!release.is_object())
    throw Failure("the agent's answer to /debug/sonde/release is no JSON object");
  return release.value("text", "?") + ": RSS " + Bytes(release.value("rss_before_bytes", 0.0)) +
         " before, " + Bytes(release.value("rss_after_bytes", 0.0)) + " after, in " +
         Fixed(release.value("took_ms", 0.0), 0) + " ms";
}

ExitCode Memory(const Options& options) {
  if (options.force && !options.release) throw UsageError("--force: expected with --release only");
  try {
    Connection connection = Connection::Open(options.target);
    if (!connection.is_agent())
      throw NotCovered(connection.description() +
                           " is a plain Go pprof endpoint: it has no page "
                           "of memory",
                       "go tool pprof http://" + options.target.text + "/debug/pprof/heap");
    RefuseOthers(connection);
    const std::string released = options.release ? Release(&connection, options) : "";
    const auto memory = nlohmann::json::parse(connection.Get("/debug/sonde/memory"), nullptr,
                                              /*allow_exceptions=*/false);
    if (!memory.is_object())
      throw Failure("the agent's answer to /debug/sonde/memory is no JSON object");
    if (options.json) {
      std::cout << memory.dump(2) << "\n";
      return JudgeMemory(memory);
    }
    Page page(std::cout, TerminalOf(STDOUT_FILENO));
    page.Title(ProcessOf(connection.status()) + "  " +
               UtcTime(memory.value("unix_ms", int64_t{0})));
    if (!released.empty()) page.Line("released", released);
    RenderMemory(&page, memory, AsTyped(options.target));
    return JudgeMemory(memory);
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareMemory(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_flag("--json", options->json, "The agent's own JSON");
  verb->add_flag("--release", options->release,
                 "First let the service's allocator give free memory back to the system");
  verb->add_flag("--force", options->force,
                 "With --release: also where the service has to wait for it");
  AddTokenOptions(verb, &options->target);
  return [options] { return Memory(*options); };
}

}  // namespace sonde::cli
