// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/front.h"

#include <errno.h>

#include <algorithm>

#include "agent/http/socket.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr int64_t kTickMs = 1000;
// The first process of a pod that binds the port serves it; when that one ends another takes over.
constexpr int64_t kTryAgainMs = 5000;

http::Door DoorOf(const Address& address, http::Door wanted) {
  if (wanted == http::Door::kMetrics) return wanted;
  if (address.IsUnix()) return http::Door::kUnix;
  return address.IsLocal() ? http::Door::kLocalTcp : http::Door::kRemoteTcp;
}

}  // namespace

Front::Front(AgentSources* sources, ConfigStore* config, const FrontOptions& options)
    : context_(sources, config),
      endpoints_(&context_),
      server_(&endpoints_),
      was_enabled_(config->current().enable) {
  context_.inside_container = options.inside_container;
  Plan(options.unix_address, http::Door::kUnix);
  Plan(config->current().listen.data, http::Door::kLocalTcp);
  Plan(config->current().metrics_listen.data, http::Door::kMetrics);
  OpenMissing();
}

Front::~Front() {
  for (const Opening& opening : openings_) {
    const bool has_file = opening.fd >= 0 && opening.address.family == Address::Family::kUnixPath;
    if (has_file) sys::Call(SYS_unlink, opening.address.path);
  }
}

void Front::Plan(const std::string& text, http::Door wanted) {
  if (text.empty()) return;
  Opening opening;
  opening.text = text;
  const auto address = ParseAddress(text);
  if (!address) {
    opening.given_up = true;
    opening.error = "expected " + std::string(kAddressForms);
  } else {
    opening.address = *address;
    opening.door = DoorOf(*address, wanted);
  }
  openings_.push_back(opening);
}

void Front::OpenMissing() {
  next_try_ms_ = http::NowMs() + kTryAgainMs;
  for (Opening& opening : openings_) {
    if (opening.fd < 0 && !opening.given_up) Open(&opening);
  }
  PublishStates();
}

void Front::Open(Opening* opening) {
  if (opening->door == http::Door::kRemoteTcp && !context_.token.configured()) {
    opening->given_up = true;
    opening->error =
        "refused: others can reach this address, so SONDE_TOKEN_FILE must be set "
        "(SONDE_METRICS_LISTEN serves /metrics without a token)";
    return;
  }
  const long fd = http::Listen(opening->address);
  opening->error = sys::Failed(fd) ? ErrorText(fd) : std::string();
  if (sys::Failed(fd)) return;
  opening->fd = static_cast<int>(fd);
  server_.AddListener(opening->fd, opening->door);
}

void Front::Wait(int64_t deadline_ms) {
  const int64_t now_ms = http::NowMs();
  if (now_ms >= next_tick_ms_) {
    next_tick_ms_ = now_ms + kTickMs;
    context_.config->Tick(now_ms);
  }
  FollowEnable();
  if (now_ms >= next_try_ms_) OpenMissing();
  server_.Wait(std::min({deadline_ms, next_tick_ms_, next_try_ms_}));
}

// The kill switch of the config file and the end of a timed one. Requests have called Off or On
// themselves.
void Front::FollowEnable() {
  const bool enabled = context_.config->current().enable;
  if (enabled == was_enabled_) return;
  was_enabled_ = enabled;
  if (enabled) {
    context_.sources->On();
  } else {
    context_.sources->Off();
  }
}

void Front::GiveUpPort(uint16_t port) {
  for (Opening& opening : openings_) {
    if (opening.address.IsUnix() || opening.address.port != port) continue;
    if (opening.fd >= 0) server_.RemoveListener(opening.fd);
    opening.fd = -1;
    opening.given_up = true;
    opening.error = "given up: the service uses this port";
  }
  PublishStates();
}

void Front::PublishStates() {
  context_.listeners.clear();
  for (const Opening& opening : openings_) {
    std::string state = opening.fd >= 0 ? "listening" : opening.error;
    if (opening.fd < 0 && !opening.given_up) state += "; tried again every 5 s";
    context_.listeners.push_back({opening.text, state});
  }
}

std::string Front::ListenErrors() const {
  std::string lines;
  for (const Opening& opening : openings_) {
    if (opening.fd < 0) lines += opening.text + ": " + opening.error + "\n";
  }
  return lines;
}

}  // namespace sonde
