// SPDX-License-Identifier: Apache-2.0
// Everything that was found, for scripts: one line a finding, or JSON.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/connection.h"
#include "cli/json_parts.h"
#include "cli/render_agentless.h"
#include "cli/render_findings.h"
#include "cli/render_report.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  bool json = false;
};

void PrintLine(const nlohmann::json& finding) {
  const bool active = finding.value("active", true);
  std::cout << TextIn(finding, "id") << "  " << (active ? "active" : "ended ") << "  "
            << PadRight(TextIn(finding, "severity"), 8) << "  "
            << PadRight(TextIn(finding, "kind"), 13) << "  pid "
            << static_cast<int64_t>(NumberIn(finding, "pid", 0)) << "  "
            << Printable(TextIn(finding, "sentence")) << "\n";
}

ExitCode Findings(const Options& options) {
  try {
    Connection connection = Connection::Open(options.target);
    if (!connection.is_agent()) {
      throw NotCovered(connection.description() + " is a plain Go pprof endpoint: it finds nothing",
                       "sonde cpu " + AsTyped(options.target));
    }
    const nlohmann::json answer = FetchFindings(&connection);
    if (options.json) {
      std::cout << answer.dump(2, ' ', false, kReplaceBadUtf8) << "\n";
    } else {
      for (const nlohmann::json& finding : ListIn(answer, "findings")) PrintLine(finding);
    }
    return ListIn(answer, "findings").empty() ? ExitCode::kClean : ExitCode::kFinding;
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareFindings(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_flag("--json", options->json, "The agent's own JSON");
  return [options] { return Findings(*options); };
}

}  // namespace sonde::cli
