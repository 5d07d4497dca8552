// SPDX-License-Identifier: Apache-2.0
// The agent's whole HTTP side in one object: settings, listeners, server, endpoints. The agent
// thread's loop is
//   for (;;) { front.Wait(next_tick_ms); collectors tick; }
// One per agent, agent thread only. Opens its sockets in the constructor's thread, so that they
// belong to the agent thread's own descriptor table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/config/address.h"
#include "agent/config/config_store.h"
#include "agent/endpoints/context.h"
#include "agent/endpoints/endpoints.h"
#include "agent/http/server.h"

namespace sonde {

struct FrontOptions {
  bool inside_container = false;  // then loopback is the pod's own, and GET needs no token
  // The socket in the run directory, "unix:/…" or "unix:@…"; empty: none.
  std::string unix_address;
};

class Front {
 public:
  // Opens what can be opened; the rest is tried again (see ListenerState) and shown by the status.
  Front(AgentSources* sources, ConfigStore* config, const FrontOptions& options);
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // Serves until something was done or the deadline (http::NowMs) is reached; looks after the
  // settings, and calls AgentSources::Off and On when SONDE_ENABLE changes.
  void Wait(int64_t deadline_ms);

  // The service wants that port itself: closes our listener on it and never opens it again.
  void GiveUpPort(uint16_t port);

  // What kept listeners from opening, one line each; empty when all is well.
  std::string ListenErrors() const;

 private:
  struct Opening {
    std::string text;
    http::Door door;
    Address address;
    int fd = -1;
    bool given_up = false;
    std::string error;
  };

  void Plan(const std::string& text, http::Door door_if_local);
  void OpenMissing();
  void Open(Opening* opening);
  void FollowEnable();
  void PublishStates();

  Context context_;
  Endpoints endpoints_;
  http::Server server_;
  std::vector<Opening> openings_;
  int64_t next_try_ms_ = 0;
  int64_t next_tick_ms_ = 0;
  bool was_enabled_;
};

}  // namespace sonde
