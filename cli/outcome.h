// SPDX-License-Identifier: Apache-2.0
// How every verb ends: the exit codes, and the error that carries one. The only place where an exit
// code has a number. Used by all of cli/; plain values, no shared state.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace sonde::cli {

enum class ExitCode : int {
  kClean = 0,          // clean, or done
  kError = 1,          // it could not be done
  kUsage = 2,          // the command line makes no sense
  kFinding = 3,        // something was found
  kInconclusive = 4,   // inconclusive, or not covered: never to be read as clean
  kSomePodsFailed = 5  // the answer lacks some of the pods
};

// What went wrong in one sentence, and what to do next (may be empty).
class CliError : public std::runtime_error {
 public:
  CliError(ExitCode code, const std::string& what, std::string next = "")
      : std::runtime_error(what), code_(code), next_(std::move(next)) {}
  ExitCode code() const { return code_; }
  const std::string& next() const { return next_; }

 private:
  ExitCode code_;
  std::string next_;
};

inline CliError UsageError(const std::string& what, std::string next = "") {
  return CliError(ExitCode::kUsage, what, std::move(next));
}

inline CliError Failure(const std::string& what, std::string next = "") {
  return CliError(ExitCode::kError, what, std::move(next));
}

inline CliError NotCovered(const std::string& what, std::string next = "") {
  return CliError(ExitCode::kInconclusive, what, std::move(next));
}

}  // namespace sonde::cli
