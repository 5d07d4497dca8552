// SPDX-License-Identifier: Apache-2.0
// What the user may name as TARGET, and the options that go with it. Parsing only: nothing is
// contacted. Used by every verb that takes a TARGET; plain values.
#pragma once

#include <optional>
#include <string>

#include "cli/http_client.h"

namespace CLI {
class App;
}

namespace sonde::cli {

inline constexpr int kDefaultPort = 7663;

struct TargetOptions {
  std::string text;
  std::string kube_namespace;
  std::string kube_context;
  std::string kubeconfig;
  std::string container;
  std::optional<int> port;
  std::string token_file;
  std::string token_secret = "sonde-token";
};

// Declares TARGET and its options on a verb; *options must outlive the parse.
void AddTargetOptions(CLI::App* verb, TargetOptions* options, bool required = true);

// TARGET with its options, to be pasted behind a verb: "pod/x -n shop --port 6060".
std::string AsTyped(const TargetOptions& options);

struct Target {
  enum class Kind { kPid, kAddress, kProfileFile, kPod };
  Kind kind = Kind::kAddress;
  int pid = 0;       // kPid
  Address address;   // kAddress: TCP or socket
  std::string name;  // kPod: its name; kProfileFile: its path
  std::string Describe() const;
};

// Throws a usage error that lists what a TARGET can be.
Target ParseTarget(const TargetOptions& options);

}  // namespace sonde::cli
