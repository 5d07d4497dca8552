// SPDX-License-Identifier: Apache-2.0
#include "cli/connection.h"

#include <stdlib.h>
#include <unistd.h>

#include <utility>

#include "cli/agentless.h"
#include "cli/interrupt.h"
#include "cli/proc.h"
#include "cli/sockets.h"

namespace sonde::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kShortAnswer{10'000};
// What the agent may need after a capture to symbolise and send it; the same slack as go tool pprof
// gives.
constexpr milliseconds kAfterCapture{30'000};
constexpr size_t kMaxErrorText = 300;

std::string FirstLine(const std::string& text) {
  const std::string line = text.substr(0, text.find('\n'));
  return line.size() > kMaxErrorText ? line.substr(0, kMaxErrorText) + "…" : line;
}

CliError ExplainStatus(const Response& response, const Request& request, const std::string& target,
                       const TargetOptions& typed) {
  std::string what = target + " answered " + std::to_string(response.status) + " to " +
                     request.method + " " + request.path.substr(0, request.path.find('?'));
  if (!response.body.empty()) what += ": " + FirstLine(response.body);
  // It is off, or has no room: nothing can be said of what was asked.
  if (response.status == 503)
    return NotCovered(what, "sonde status " + AsTyped(typed) + "   # what is off, and why");
  const bool denied = response.status == 401 || response.status == 403;
  return Failure(what, denied
                           ? "give --token-file FILE (the agent's SONDE_TOKEN_FILE), or go through "
                             "its unix socket as the same user"
                           : "");
}

bool Serves(const nlohmann::json& status, int pid) {
  if (status.is_null()) return false;
  if (status.value("pid", 0) == pid) return true;
  for (const auto& process : status.value("processes", nlohmann::json::array()))
    if (process.value("pid", 0) == pid) return true;
  return false;
}

std::optional<Address> LiveSocketOf(int pid, uint64_t start_ticks) {
  const int inner = InnermostPid(pid);
  for (const AgentSocket& socket : FindSockets(RunDirectories(pid), pid)) {
    const bool same_pid = socket.name.pid == pid || socket.name.pid == inner;
    if (!same_pid || socket.name.start_ticks != start_ticks) continue;
    if (ProbeSocket(socket.address).state == Probe::State::kLive) return socket.address;
  }
  return std::nullopt;
}

}  // namespace

Connection::Connection(const TargetOptions& options, const Target& target)
    : options_(options), target_(target), description_(target.Describe()) {}

Connection Connection::Open(const TargetOptions& options) {
  Connection connection(options, ParseTarget(options));
  connection.Connect();
  return connection;
}

void Connection::Connect() {
  switch (target_.kind) {
    case Target::Kind::kProfileFile:
      throw UsageError("'" + target_.name + "' is a file: this verb asks a running process",
                       "sonde cpu " + target_.name);
    case Target::Kind::kPid:
      return ConnectToPid(target_.pid);
    case Target::Kind::kPod:
      OpenForward();
      break;
    case Target::Kind::kAddress:
      client_ = std::make_unique<HttpClient>(target_.address);
      break;
  }
  FetchStatus();
}

void Connection::OpenForward() {
  const int port = AgentPortOf(options_, target_.name);
  client_.reset();
  forward_.reset();
  forward_ = std::make_unique<PortForward>(options_, target_.name, port);
  client_ = std::make_unique<HttpClient>(Address{Address::Kind::kTcp, forward_->local_address()});
}

// True when an agent that serves this process answers there.
bool Connection::TryAddress(const Address& address, int pid) {
  client_ = std::make_unique<HttpClient>(address);
  try {
    FetchStatus();
  } catch (const CliError&) {
    status_ = nullptr;
  }
  if (Serves(status_, pid) || Serves(status_, InnermostPid(pid))) return true;
  client_.reset();
  status_ = nullptr;
  return false;
}

void Connection::ConnectToPid(int pid) {
  if (options_.port) {
    const std::string where = "127.0.0.1:" + std::to_string(*options_.port);
    client_ = std::make_unique<HttpClient>(Address{Address::Kind::kTcp, where});
    return FetchStatus();
  }
  if (!ReadStat(pid)) throw Failure("there is no process " + std::to_string(pid));
  // A forked child has no agent of its own: the first process of its tree serves it.
  for (int owner = pid; owner > 0;) {
    const auto stat = ReadStat(owner);
    if (!stat) break;
    const auto address = LiveSocketOf(owner, stat->start_ticks);
    if (address && TryAddress(*address, pid)) {
      only_pid_ = owner == pid ? 0 : InnermostPid(pid);
      return;
    }
    owner = stat->parent;
  }
  const std::string fixed = "127.0.0.1:" + std::to_string(kDefaultPort);
  if (TryAddress({Address::Kind::kTcp, fixed}, pid)) return;
  const WhyNoAgent why = ExplainNoAgent(pid);
  throw NoAgent(pid, why.reason, why.next);
}

void Connection::FetchStatus() {
  Request request;
  request.path = "/debug/sonde/status";
  request.timeout = kShortAnswer;
  const Response response = SendWithRetry(request);
  status_ = nullptr;
  if (response.status == 404) return;  // a plain Go endpoint
  if (!response.ok()) throw ExplainStatus(response, request, description_, options_);
  auto json = nlohmann::json::parse(response.body, nullptr, false);
  if (json.is_object()) status_ = std::move(json);
}

CliError Connection::ExplainTransport(const TransportError& error) {
  if (forward_ != nullptr) {
    const PortForward::Verdict verdict = forward_->ExplainFailure();
    return Failure(verdict.why, verdict.next);
  }
  const std::string target =
      description_ == client_->address().Describe() ? "" : description_ + ", ";
  switch (error.kind()) {
    case TransportError::Kind::kRefused:
      return Failure(target + "nothing answers at " + client_->address().Describe(),
                     "sonde list   # the agents on this machine");
    case TransportError::Kind::kTimeout:
      return Failure(target + error.what() + " (is it stopped, or no HTTP server?)");
    default:
      return Failure(target + error.what());
  }
}

Response Connection::SendWithRetry(const Request& request) {
  try {
    return client_->Send(request);
  } catch (const TransportError& error) {
    if (forward_ == nullptr) throw ExplainTransport(error);
    const PortForward::Verdict verdict = forward_->ExplainFailure();
    if (!verdict.worth_a_retry) throw Failure(verdict.why, verdict.next);
  }
  OpenForward();
  try {
    return client_->Send(request);
  } catch (const TransportError& error) {
    const CliError why = ExplainTransport(error);
    throw Failure(std::string(why.what()) + "; a second forward did not help", why.next());
  }
}

std::string Connection::Token() const {
  std::string file = options_.token_file;
  if (const char* named = getenv("SONDE_TOKEN_FILE"); file.empty() && named != nullptr)
    file = named;
  if (file.empty()) return "";
  auto token = ReadSmallFile(file, 4096);
  if (!token) throw Failure("cannot read the token file " + file);
  token->erase(token->find_last_not_of(" \r\n\t") + 1);
  return *token;
}

std::string Connection::Get(const std::string& path) {
  Request request;
  request.path = path;
  request.timeout = kShortAnswer;
  request.bearer_token = Token();
  Response response = SendWithRetry(request);
  if (!response.ok()) throw ExplainStatus(response, request, description_, options_);
  return std::move(response.body);
}

bool Connection::TryAgain() {
  try {
    Connect();
    return is_agent();
  } catch (const CliError&) {
    return false;
  }
}

milliseconds Connection::process_age() const {
  return milliseconds(status_.value("now_unix_ms", int64_t{0}) -
                      status_.value("process_start_unix_ms", int64_t{0}));
}

bool Connection::target_is_gone() const {
  return target_.kind == Target::Kind::kPid && !ReadStat(target_.pid);
}

Response Connection::Capture(const std::string& path, milliseconds capture,
                             std::function<void()> on_tick) {
  Request request;
  request.path = path;
  request.timeout = capture + kAfterCapture;
  request.only_once = true;
  request.bearer_token = Token();
  request.on_tick = std::move(on_tick);
  const auto start = std::chrono::steady_clock::now();
  try {
    Response response = client_->Send(request);
    if (!response.ok()) throw ExplainStatus(response, request, description_, options_);
    return response;
  } catch (const TransportError& error) {
    const auto after = std::chrono::duration<double>(std::chrono::steady_clock::now() - start);
    const CliError why = ExplainTransport(error);
    char when[64];
    snprintf(when, sizeof when, "cut off %.1f s into a %.0f s capture: ", after.count(),
             std::chrono::duration<double>(capture).count());
    throw CutOff(when + std::string(why.what()), why.next());
  }
}

std::string Connection::Post(const std::string& path, const std::string& body) {
  Request request;
  request.method = "POST";
  request.path = path;
  request.body = body;
  request.timeout = kShortAnswer;
  request.bearer_token = Token();
  if (request.bearer_token.empty() && target_.kind == Target::Kind::kPod)
    request.bearer_token = TokenFromSecret(options_);
  Response response = SendWithRetry(request);
  if (!response.ok()) throw ExplainStatus(response, request, description_, options_);
  return std::move(response.body);
}

}  // namespace sonde::cli
