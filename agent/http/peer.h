// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a connection, and through which door it came. Plain value.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace sonde::http {

enum class Door : uint8_t {
  kLocalTcp,   // loopback
  kRemoteTcp,  // anything that others can reach
  kUnix,
  kMetrics,  // SONDE_METRICS_LISTEN: /metrics and /healthz only
};

struct Peer {
  static constexpr int64_t kUnknown = -1;
  Door door = Door::kLocalTcp;
  int fd = -1;             // of the connection, for looking the peer up
  int64_t uid = kUnknown;  // unix sockets only; see TcpPeerUid for the others
};

}  // namespace sonde::http
