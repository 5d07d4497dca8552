// SPDX-License-Identifier: Apache-2.0
// Settings, listeners, server and endpoints wired as the agent wires them, over FakeSources. For
// tests and fake_agent. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "agent/config/config_store.h"
#include "agent/endpoints/context.h"
#include "agent/endpoints/endpoints.h"
#include "agent/http/server.h"

namespace sonde::testing {

struct FrontOptions {
  bool inside_container = true;  // then loopback is the pod's own, and GET needs no token
  std::string unix_address;      // "unix:/…" or "unix:@…"; empty: none
};

class FakeFront {
 public:
  FakeFront(AgentSources* sources, ConfigStore* config, const FrontOptions& options);
  ~FakeFront();
  FakeFront(const FakeFront&) = delete;
  FakeFront& operator=(const FakeFront&) = delete;

  // Serves until something was done or the deadline (http::NowMs) is reached.
  void Wait(int64_t deadline_ms);
  // What kept listeners from opening, one line each.
  const std::string& errors() const { return errors_; }
  Context& context() { return context_; }
  http::Server& server() { return server_; }

 private:
  void Listen(const std::string& text, http::Door door);

  Context context_;
  Endpoints endpoints_;
  http::Server server_;
  std::string errors_;
  std::string socket_file_;
};

}  // namespace sonde::testing
