// SPDX-License-Identifier: Apache-2.0
// Everything that is asked of kubectl: a port-forward to a pod, the port of a container's agent,
// the token in a Secret. kubectl itself brings the user's credentials, plug-ins and proxies, so no
// Kubernetes client is linked in. Used by Connection; main thread only.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/child.h"
#include "cli/target.h"

namespace sonde::cli {

// A live `kubectl port-forward`. The child dies with this object, and with this process.
class PortForward {
 public:
  // Waits until kubectl says which local port it took. Throws CliError with kubectl's own words and
  // what to do about them.
  PortForward(const TargetOptions& options, const std::string& pod, int remote_port);

  const std::string& local_address() const { return local_address_; }  // "127.0.0.1:40123"

  // What to tell the user after a request over the forward failed. Gives kubectl a moment to say
  // why.
  struct Verdict {
    bool worth_a_retry = false;  // the forward was lost, the port is not known to be closed
    std::string why;             // a sentence
    std::string next;
  };
  Verdict ExplainFailure();

 private:
  bool ReadLocalAddress();

  std::string pod_;
  int remote_port_;
  std::unique_ptr<Child> child_;
  std::string local_address_;
};

// The local address in kubectl's "Forwarding from 127.0.0.1:40123 -> 7663"; empty while it is not
// there.
std::string ParseForwardingLine(const std::string& output);

// The port to forward to: --port, else the container's SONDE_LISTEN (asked only with -c), else the
// default.
int AgentPortOf(const TargetOptions& options, const std::string& pod);

// The token that lets POST change the agent's state; throws with what RBAC is needed.
std::string TokenFromSecret(const TargetOptions& options);

// kubectl's complaint turned into one sentence and a next step.
CliError ExplainKubectl(const std::string& errors, const std::string& pod,
                        const TargetOptions& options);

}  // namespace sonde::cli
