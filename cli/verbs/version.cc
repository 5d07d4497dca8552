// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/verbs/verbs.h"

namespace sonde::cli {

Action DeclareVersion(CLI::App* verb) {
  const auto json = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "Answer in JSON");
  return [json] {
    if (*json)
      std::cout << nlohmann::json{{"version", SONDE_VERSION}}.dump() << "\n";
    else
      std::cout << "sonde " << SONDE_VERSION << "\n";
    return ExitCode::kClean;
  };
}

}  // namespace sonde::cli
