// SPDX-License-Identifier: Apache-2.0
#include "tests/endpoints/fake_front.h"

#include <unistd.h>

#include <algorithm>

#include "agent/config/address.h"
#include "agent/http/socket.h"

namespace sonde::testing {

FakeFront::FakeFront(AgentSources* sources, ConfigStore* config, const FrontOptions& options)
    : context_(sources, config), endpoints_(&context_), server_(&endpoints_) {
  context_.inside_container = options.inside_container;
  Listen(options.unix_address, http::Door::kUnix);
  Listen(config->current().listen.data, http::Door::kLocalTcp);
  Listen(config->current().metrics_listen.data, http::Door::kMetrics);
}

FakeFront::~FakeFront() {
  if (!socket_file_.empty()) unlink(socket_file_.c_str());
}

void FakeFront::Listen(const std::string& text, http::Door door) {
  const auto address = ParseAddress(text);
  if (!address) return;
  const bool remote = door == http::Door::kLocalTcp && !address->IsLocal();
  const long fd = http::Listen(*address);
  if (fd < 0) {
    errors_ += text + ": " + ErrorText(fd) + "\n";
    return;
  }
  if (address->family == Address::Family::kUnixPath) socket_file_ = address->path;
  server_.AddListener(static_cast<int>(fd), remote ? http::Door::kRemoteTcp : door);
  context_.listeners.push_back({text, "listening"});
}

void FakeFront::Wait(int64_t deadline_ms) {
  const int64_t now_ms = http::NowMs();
  context_.config->Tick(now_ms);
  server_.Wait(std::min(deadline_ms, now_ms + 200));
}

}  // namespace sonde::testing
