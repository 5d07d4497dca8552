// SPDX-License-Identifier: Apache-2.0
// What the agent does, costs and cannot see.
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>

#include "cli/connection.h"
#include "cli/render_agentless.h"
#include "cli/render_status.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  bool json = false;
};

int64_t NowUnixMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

ExitCode Status(const Options& options) {
  try {
    const Connection connection = Connection::Open(options.target);
    if (!connection.is_agent())
      throw NotCovered(connection.description() + " is a plain Go pprof endpoint: it has no status",
                       "sonde cpu " + AsTyped(options.target));
    if (options.json) {
      std::cout << connection.status().dump(2) << "\n";
      return ExitCode::kClean;
    }
    Page page(std::cout, TerminalOf(STDOUT_FILENO));
    RenderState(&page, connection.status(), NowUnixMs());
    RenderDetails(&page, connection.status());
    page.Line("next", "sonde cpu " + AsTyped(options.target));
    return ExitCode::kClean;
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareStatus(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_flag("--json", options->json, "The agent's own JSON");
  return [options] { return Status(*options); };
}

}  // namespace sonde::cli
