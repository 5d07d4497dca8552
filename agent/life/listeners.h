// SPDX-License-Identifier: Apache-2.0
// Which sockets the agent listens on: SONDE_LISTEN, the unix socket of this process in the run
// directory (an abstract one where no directory can be written), and SONDE_METRICS_LISTEN. The
// first process of a network name space gets the port; the others try again every few seconds, and
// are reached by their unix sockets meanwhile. Agent thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/config/settings.h"
#include "agent/endpoints/context.h"
#include "agent/http/server.h"

namespace sonde::life {

class Listeners {
 public:
  static constexpr int64_t kRetryMs = 5000;

  Listeners(http::Server* server, std::vector<ListenerState>* states)
      : server_(server), states_(states) {}
  // Takes the socket files away: who comes after, perhaps as another user, makes its own.
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // Opens what the settings ask for; ports in a Go program only at the first retry.
  void Open(const Settings& settings, bool token_given, int64_t now_ms);
  // Tries again what was in use.
  void Tick(int64_t now_ms);
  // The host wants our port: closed now, and not opened again.
  void YieldPort();

 private:
  struct Entry {
    std::string address;
    http::Door door;
    size_t state;  // index into *states_
    int fd = -1;
    bool given_up = false;
  };

  void Add(const std::string& address, http::Door door, const std::string& refusal);
  void TryOpen(Entry* entry);
  void OpenUnixSocket(const Settings& settings);
  void RemoveStaleSockets(const std::string& dir);
  void PublishPort(const Entry& entry) const;

  http::Server* server_;
  std::vector<ListenerState>* states_;
  std::vector<Entry> entries_;
  int64_t next_try_ms_ = 0;
};

// The name of this machine or container, as part of a file name.
std::string HostName();

// "<host>-<pid>-<start ticks>": the name of everything that belongs to this process.
std::string ProcessTag();

}  // namespace sonde::life
