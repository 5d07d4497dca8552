// SPDX-License-Identifier: Apache-2.0
#include "cli/target.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

namespace sonde::cli {
namespace {

constexpr const char* kForms =
    "a TARGET is a pid, host:port, a unix socket (path or @name), a saved profile, a "
    "region file, or pod/NAME";

std::optional<int> WholeNumber(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
  if (error != std::errc() || end != text.end() || text.empty()) return std::nullopt;
  return number;
}

bool IsPort(const std::string& text) {
  const auto port = WholeNumber(text);
  return port && *port >= 1 && *port <= 65535;
}

Target AddressTarget(Address::Kind kind, std::string where) {
  Target target;
  target.kind = Target::Kind::kAddress;
  target.address = {kind, std::move(where)};
  return target;
}

// "pod/NAME" and its short forms; other workloads get an error that says what to type instead.
std::optional<Target> ParseWorkload(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0) return std::nullopt;
  const std::string kind = text.substr(0, slash);
  const std::string name = text.substr(slash + 1);
  if (kind == "pod" || kind == "pods" || kind == "po") {
    if (name.empty() || name.find('/') != std::string::npos || name[0] == '-')
      throw UsageError("'" + text + "' names no pod: expected pod/NAME");
    Target target;
    target.kind = Target::Kind::kPod;
    target.name = name;
    return target;
  }
  for (const char* workload :
       {"deploy", "deployment", "sts", "statefulset", "ds", "daemonset", "svc", "service"}) {
    if (kind == workload)
      throw UsageError("'" + text + "': this version takes one pod at a time, as pod/NAME",
                       "kubectl get pods   # then: sonde cpu pod/NAME");
  }
  return std::nullopt;
}

std::optional<Target> ParsePath(const std::string& text) {
  struct stat info = {};
  const bool exists = stat(text.c_str(), &info) == 0;
  if (exists && S_ISSOCK(info.st_mode)) return AddressTarget(Address::Kind::kUnixPath, text);
  if (exists && S_ISREG(info.st_mode)) {
    Target target;
    target.kind = Target::Kind::kProfileFile;
    target.name = text;
    return target;
  }
  if (exists && text.find('/') != std::string::npos)
    throw UsageError("'" + text + "' is neither a unix socket nor a saved profile or region file");
  if (text.starts_with("/") || text.starts_with("./") || text.starts_with("../"))
    throw UsageError("there is no '" + text +
                     "': expected a unix socket, a saved profile or a region file");
  return std::nullopt;
}

std::string StripScheme(const std::string& text) {
  if (text.starts_with("https://"))
    throw UsageError("'" + text +
                     "': the agent speaks plain HTTP on loopback; for another machine use "
                     "pod/NAME or an ssh tunnel");
  if (!text.starts_with("http://")) return text;
  const std::string rest = text.substr(7);
  const size_t slash = rest.find('/');
  if (slash != std::string::npos && slash + 1 != rest.size() &&
      !rest.substr(slash).starts_with("/debug/pprof"))
    throw UsageError("'" + text + "': expected http://host:port without a path");
  return rest.substr(0, slash);
}

std::optional<Target> ParseHostPort(const std::string& given, const std::optional<int>& port) {
  std::string text = StripScheme(given);
  const size_t colon = text.rfind(':');
  const bool has_port = colon != std::string::npos && IsPort(text.substr(colon + 1)) &&
                        (text[0] != '[' || (colon > 0 && text[colon - 1] == ']'));
  if (!has_port && !port) return std::nullopt;
  if (!has_port) text += ":" + std::to_string(*port);
  if (text.starts_with(":")) text = "127.0.0.1" + text;
  if (text.find_first_of(" /?#@") != std::string::npos) return std::nullopt;
  return AddressTarget(Address::Kind::kTcp, text);
}

Target PidTarget(int pid) {
  if (pid <= 0)
    throw UsageError("'" + std::to_string(pid) + "' is no pid: expected a number from 1");
  Target target;
  target.kind = Target::Kind::kPid;
  target.pid = pid;
  return target;
}

}  // namespace

void AddTargetOptions(CLI::App* verb, TargetOptions* options, bool required) {
  auto* target =
      verb->add_option("TARGET", options->text,
                       "pid, host:port, unix socket, saved profile, region file, or pod/NAME");
  target->type_name("")->required(required);
  const auto add = [verb](const char* name, std::string* value, const char* help,
                          const char* type) {
    verb->add_option(name, *value, help)->type_name(type)->group("Where the pod is");
  };
  add("-n,--namespace", &options->kube_namespace, "Namespace of the pod", "NAME");
  add("--context", &options->kube_context, "Context of the kubeconfig", "NAME");
  add("--kubeconfig", &options->kubeconfig, "The kubeconfig file", "FILE");
  add("-c,--container", &options->container,
      "Container whose SONDE_LISTEN gives the port, when several have an agent", "NAME");
  verb->add_option("--port", options->port,
                   "Port of the agent or of any Go /debug/pprof (default " +
                       std::to_string(kDefaultPort) + ")")
      ->check(CLI::Range(1, 65535).description(""))
      ->type_name("PORT");
}

std::string AsTyped(const TargetOptions& options) {
  std::string typed = options.text;
  const std::pair<const char*, const std::string*> flags[] = {
      {" -n ", &options.kube_namespace},
      {" --context ", &options.kube_context},
      {" --kubeconfig ", &options.kubeconfig},
      {" -c ", &options.container}};
  for (const auto& [flag, value] : flags)
    if (!value->empty()) typed += flag + *value;
  if (options.port) typed += " --port " + std::to_string(*options.port);
  return typed;
}

std::string Target::Describe() const {
  switch (kind) {
    case Kind::kPid:
      return "pid " + std::to_string(pid);
    case Kind::kPod:
      return "pod/" + name;
    case Kind::kProfileFile:
      return name;
    case Kind::kAddress:
      break;
  }
  return address.Describe();
}

Target ParseTarget(const TargetOptions& options) {
  const std::string& text = options.text;
  if (text.empty()) throw UsageError("no TARGET given", kForms);
  if (const auto pid = WholeNumber(text)) return PidTarget(*pid);
  if (text.starts_with("unix:")) {  // as SONDE_LISTEN writes it
    TargetOptions plain = options;
    plain.text = text.substr(5);
    return ParseTarget(plain);
  }
  if (text.starts_with("@") && text.size() > 1)
    return AddressTarget(Address::Kind::kAbstract, text.substr(1));
  if (auto target = ParseWorkload(text)) return *target;
  if (auto target = ParsePath(text)) return *target;
  if (auto target = ParseHostPort(text, options.port)) return *target;
  throw UsageError("'" + text + "' is no TARGET", kForms);
}

}  // namespace sonde::cli
