// SPDX-License-Identifier: Apache-2.0
#include "cli/token_options.h"

#include <CLI/CLI.hpp>

namespace sonde::cli {

void AddTokenOptions(CLI::App* verb, TargetOptions* options) {
  verb->add_option("--token-file", options->token_file,
                   "File with the agent's token (default: $SONDE_TOKEN_FILE)")
      ->type_name("FILE");
  verb->add_option("--token-secret", options->token_secret,
                   "For a pod without --token-file: the Secret whose key 'token' is used")
      ->type_name("NAME")
      ->capture_default_str();
}

}  // namespace sonde::cli
