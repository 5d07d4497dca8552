// SPDX-License-Identifier: Apache-2.0
#include "cli/kubectl.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "cli/base64.h"
#include "cli/outcome.h"

namespace sonde::cli {
namespace {

using std::chrono::milliseconds;

// kubectl itself waits up to 60 s for the pod to run; the rest is for a slow API server.
constexpr milliseconds kForwardDeadline{75'000};
constexpr milliseconds kQueryDeadline{30'000};
// How long kubectl may take to write why a forward broke, after the break was seen here.
constexpr milliseconds kExplainDeadline{1'500};

std::vector<std::string> Command(const TargetOptions& options) {
  const auto kubectl = FindInPath("kubectl");
  if (!kubectl)
    throw Failure("no kubectl in PATH: a pod is reached through kubectl port-forward",
                  "install kubectl, or give host:port of a forward of your own");
  std::vector<std::string> command = {*kubectl};
  if (!options.kubeconfig.empty()) command.push_back("--kubeconfig=" + options.kubeconfig);
  if (!options.kube_context.empty()) command.push_back("--context=" + options.kube_context);
  if (!options.kube_namespace.empty()) command.push_back("--namespace=" + options.kube_namespace);
  return command;
}

std::vector<std::string> operator+(std::vector<std::string> left,
                                   const std::vector<std::string>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// kubectl's logging library prefixes some lines: "E1121 07:09:34.123 4242 portforward.go:413]
// text".
std::string WithoutLogPrefix(const std::string& line) {
  const size_t end = line.find(".go:");
  const size_t bracket = line.find("] ");
  const bool logged = end != std::string::npos && bracket != std::string::npos && end < bracket;
  return logged ? line.substr(bracket + 2) : line;
}

std::string LastLine(const std::string& text) {
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) last = WithoutLogPrefix(line);
  return last;
}

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string NamespaceFlag(const TargetOptions& options) {
  return options.kube_namespace.empty() ? "" : " -n " + options.kube_namespace;
}

struct Complaint {
  std::string_view sign;  // in kubectl's own words
  std::string what;
  std::string next;
};

std::vector<Complaint> KnownComplaints(const std::string& pod, const TargetOptions& options) {
  const std::string in = NamespaceFlag(options);
  return {
      {"\" not found", "there is no pod " + pod, "kubectl get pods" + in},
      {"pod is not running", "pod " + pod + " is not running", "kubectl describe pod " + pod + in},
      {"orbidden", "you may not forward a port to pod " + pod,
       "it needs RBAC: get on pods, get and create on pods/portforward"},
      {"nauthorized", "the cluster does not accept your credentials", "kubectl get pods" + in},
      {"must be logged in", "the cluster does not accept your credentials",
       "kubectl get pods" + in},
      {"onnection to the server", "the API server cannot be reached", "kubectl cluster-info"},
      {"nable to connect to the server", "the API server cannot be reached",
       "kubectl cluster-info"},
      {"context was not found", "the kubeconfig has no such context",
       "kubectl config get-contexts"},
      {"does not exist", "the kubeconfig has no such context", "kubectl config get-contexts"},
  };
}

// What the stream's error text says when the runtime could not dial the port inside the pod.
bool SaysPortClosed(const std::string& errors) {
  return Has(errors, "onnection refused") || Has(errors, "failed to connect to localhost");
}

nlohmann::json FindContainer(const nlohmann::json& pod, const std::string& name) {
  std::string names;
  const auto containers = pod.value("/spec/containers"_json_pointer, nlohmann::json::array());
  for (const auto& container : containers) {
    if (container.value("name", "") == name) return container;
    names += (names.empty() ? "" : ", ") + container.value("name", "");
  }
  throw UsageError("the pod has no container '" + name + "': it has " + names);
}

// "127.0.0.1:7700" -> 7700
std::optional<int> PortOfListen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  const int port = atoi(listen.c_str() + colon + 1);
  return port >= 1 && port <= 65535 ? std::optional(port) : std::nullopt;
}

}  // namespace

std::string ParseForwardingLine(const std::string& output) {
  constexpr std::string_view kSign = "Forwarding from 127.0.0.1:";
  const size_t start = output.find(kSign);
  const size_t line_end = output.find('\n', start);
  if (start == std::string::npos || line_end == std::string::npos) return "";
  const size_t port = start + kSign.size();
  const size_t end = output.find_first_not_of("0123456789", port);
  return end == port ? "" : "127.0.0.1:" + output.substr(port, end - port);
}

CliError ExplainKubectl(const std::string& errors, const std::string& pod,
                        const TargetOptions& options) {
  const std::string said = LastLine(errors);
  for (const Complaint& complaint : KnownComplaints(pod, options))
    if (Has(errors, complaint.sign))
      return Failure(complaint.what + " (kubectl: " + said + ")", complaint.next);
  return Failure("kubectl: " + (said.empty() ? "ended without a word" : said),
                 "kubectl port-forward pod/" + pod + NamespaceFlag(options) + " :" +
                     std::to_string(options.port.value_or(kDefaultPort)));
}

PortForward::PortForward(const TargetOptions& options, const std::string& pod, int remote_port)
    : pod_(pod), remote_port_(remote_port) {
  // Without --address, kubectl listens on [::1] alone when 127.0.0.1 is taken, and says nothing of
  // it.
  child_ = std::make_unique<Child>(
      Command(options) + std::vector<std::string>{"port-forward", "--address", "127.0.0.1",
                                                  "pod/" + pod, ":" + std::to_string(remote_port)});
  const auto end = std::chrono::steady_clock::now() + kForwardDeadline;
  while (!ReadLocalAddress()) {
    if (child_->Status()) {
      child_->Drain();
      throw ExplainKubectl(child_->errors(), pod, options);
    }
    if (std::chrono::steady_clock::now() > end)
      throw Failure("kubectl port-forward to pod " + pod + " was not ready within " +
                    std::to_string(kForwardDeadline.count() / 1000) + " s");
    child_->Wait(milliseconds(200));
  }
}

bool PortForward::ReadLocalAddress() {
  local_address_ = ParseForwardingLine(child_->output());
  return !local_address_.empty();
}

PortForward::Verdict PortForward::ExplainFailure() {
  const auto end = std::chrono::steady_clock::now() + kExplainDeadline;
  while (!child_->Status() && std::chrono::steady_clock::now() < end)
    child_->Wait(milliseconds(100));
  child_->Drain();
  const std::string& errors = child_->errors();
  if (SaysPortClosed(errors))
    return {
        false, "nothing listens on port " + std::to_string(remote_port_) + " in pod " + pod_,
        "is the agent loaded there? If it listens elsewhere, give --port; injecting it restarts "
        "the pod and loses the evidence"};
  const std::string said = LastLine(errors);
  if (!child_->Status() && said.empty())
    return {true, "pod " + pod_ + " closed the connection", ""};
  return {true,
          "the forward to pod " + pod_ + " was lost (kubectl: " +
              (said.empty() ? "ended with " + std::to_string(child_->Status().value_or(0)) : said) +
              ")",
          "kubectl get pod " + pod_};
}

int AgentPortOf(const TargetOptions& options, const std::string& pod) {
  if (options.port || options.container.empty()) return options.port.value_or(kDefaultPort);
  const Finished got = RunToEnd(
      Command(options) + std::vector<std::string>{"get", "pod", pod, "-o", "json"}, kQueryDeadline);
  if (got.status != 0) throw ExplainKubectl(got.errors, pod, options);
  const auto json = nlohmann::json::parse(got.output, nullptr, false);
  if (json.is_discarded()) throw Failure("kubectl get pod " + pod + " gave no JSON");
  const auto container = FindContainer(json, options.container);
  for (const auto& variable : container.value("env", nlohmann::json::array()))
    if (variable.value("name", "") == "SONDE_LISTEN")
      return PortOfListen(variable.value("value", "")).value_or(kDefaultPort);
  return kDefaultPort;
}

std::string TokenFromSecret(const TargetOptions& options) {
  const Finished got =
      RunToEnd(Command(options) + std::vector<std::string>{"get", "secret", options.token_secret,
                                                           "-o", "jsonpath={.data.token}"},
               kQueryDeadline);
  const auto token = DecodeBase64(got.output);
  if (got.status == 0 && token && !token->empty()) return *token;
  const std::string why = got.status != 0 ? LastLine(got.errors) : "it has no key 'token'";
  throw Failure("changing the agent's state needs the token of Secret " + options.token_secret +
                    " (kubectl: " + why + ")",
                "it needs RBAC: get on that Secret; or give --token-file");
}

}  // namespace sonde::cli
