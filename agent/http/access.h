// SPDX-License-Identifier: Apache-2.0
// Who may ask what. Decided from the door, the peer's user, the token and the headers that browsers
// send. Agent thread only; may read /proc/net/tcp (see tcp_peer.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/http/message.h"
#include "agent/http/token.h"

namespace sonde::http {

enum class Need : uint8_t {
  kHealth,  // metrics and liveness: the metrics door serves it too
  kRead,    // profiles, status
  kChange,  // settings, the kill switch
};

struct AccessPolicy {
  // Nobody but this pod's containers reaches our loopback, and a port-forward, which has its own
  // checks.
  bool inside_container = false;
  std::string_view allowed_hosts;  // SONDE_ALLOW_HOSTS
  int64_t own_uid = 0;
};

// Nothing when the request is allowed, else the refusal.
std::optional<Response> CheckAccess(const Request& request, Need need, const AccessPolicy& policy,
                                    TokenFile* token);

// A Host header that a rebound DNS name cannot have: an IP address, localhost, or one of the
// comma-separated names; with or without a port.
bool IsTrustedHost(std::string_view host, std::string_view allowed_hosts);

}  // namespace sonde::http
