// SPDX-License-Identifier: Apache-2.0
// The bearer token, from a file that may be replaced while we run (a Kubernetes Secret). Agent
// thread only. Memory: one token of at most kMaxBytes.
#pragma once

#include <string>
#include <string_view>

#include "agent/config/small_file.h"

namespace sonde::http {

class TokenFile {
 public:
  static constexpr size_t kMinBytes = 16;
  static constexpr size_t kMaxBytes = 4096;

  // An empty path: there is no token, nothing matches.
  explicit TokenFile(std::string path) : path_(std::move(path)) {}

  bool configured() const { return !path_.empty(); }
  // Compares in constant time. Reads the file again when it has changed.
  bool Matches(std::string_view candidate);
  // Why there is no token now, as one line; empty when there is one or none is configured.
  const std::string& error();

 private:
  void Refresh();
  const std::string path_;
  FileMark mark_;
  bool was_read_ = false;
  std::string token_;
  std::string error_;
};

// No early exit: the time depends on the lengths only.
bool SameSecret(std::string_view a, std::string_view b);

}  // namespace sonde::http
