// SPDX-License-Identifier: Apache-2.0
// A TARGET that answers: finds the agent of a pid, opens the forward to a pod, tells an agent from
// a plain Go pprof endpoint. Used by the verbs; one thread. Holds at most one connection and one
// kubectl child.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/http_client.h"
#include "cli/kubectl.h"
#include "cli/target.h"

namespace sonde::cli {

// No agent answers for a pid. The verbs then show what needs no agent.
class NoAgent : public CliError {
 public:
  NoAgent(int pid, const std::string& why, std::string next)
      : CliError(ExitCode::kInconclusive, why, std::move(next)), pid_(pid) {}
  int pid() const { return pid_; }

 private:
  int pid_;
};

// The connection was lost in the middle of a capture.
class CutOff : public CliError {
 public:
  CutOff(const std::string& what, std::string next)
      : CliError(ExitCode::kError, what, std::move(next)) {}
};

class Connection {
 public:
  // Finds and asks the target's agent. Throws NoAgent for a pid without one, CliError otherwise.
  static Connection Open(const TargetOptions& options);

  // /debug/sonde/status; null for a plain Go pprof endpoint.
  const nlohmann::json& status() const { return status_; }
  bool is_agent() const { return !status_.is_null(); }
  const std::string& description() const { return description_; }
  // The process that was asked for, when it is one of several that the agent serves: 0 means all.
  int only_pid() const { return only_pid_; }

  // A short GET; asked once more when the forward to a pod was lost. Errors of the agent are
  // thrown.
  std::string Get(const std::string& path);
  // A GET that takes `capture` long by its nature; never asked twice, because its window is over.
  // Throws CutOff when the connection is lost meanwhile.
  Response Capture(const std::string& path, std::chrono::milliseconds capture,
                   std::function<void()> on_tick);
  // Looks for the target's agent once more, after a CutOff. False: it does not answer yet.
  bool TryAgain();
  // How long the process that answers has been running, by its own clock.
  std::chrono::milliseconds process_age() const;
  // It is a process, and that has ended.
  bool target_is_gone() const;
  // The agent's clock is ours.
  bool is_local() const { return target_.kind == Target::Kind::kPid; }
  // Changes the agent's state; brings the token where one is needed.
  std::string Post(const std::string& path, const std::string& body);

 private:
  Connection(const TargetOptions& options, const Target& target);

  void Connect();
  void OpenForward();
  void ConnectToPid(int pid);
  bool TryAddress(const Address& address, int pid);
  void FetchStatus();
  Response SendWithRetry(const Request& request);
  CliError ExplainTransport(const TransportError& error);
  std::string Token() const;

  TargetOptions options_;
  Target target_;
  std::string description_;
  std::unique_ptr<PortForward> forward_;
  std::unique_ptr<HttpClient> client_;
  nlohmann::json status_;
  int only_pid_ = 0;
};

}  // namespace sonde::cli
