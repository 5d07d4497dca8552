// SPDX-License-Identifier: Apache-2.0
// --last, --from and --to: a part of the recording of the last minutes, for the verbs that show
// what is recorded. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <initializer_list>
#include <string>

#include "cli/capture.h"

namespace sonde::cli {

// As typed.
struct PastOptions {
  std::string last, from, to;
};

// `of_now`: options of the verb, declared before, that ask for a capture and exclude these.
void AddPastOptions(CLI::App* verb, std::initializer_list<const char*> of_now, PastOptions* past);

// Throws UsageError when a time cannot be read.
[[nodiscard]] PastQuestion ParsePast(const PastOptions& past);

// "?last=300000ms", for the agent.
[[nodiscard]] std::string PastQuery(const PastQuestion& past);

}  // namespace sonde::cli
