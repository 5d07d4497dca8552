// SPDX-License-Identifier: Apache-2.0
// Which user holds the other end of a loopback TCP connection. The kernel tells that only by
// /proc/net/tcp and tcp6. Agent thread. Reads at most kMaxTableBytes in blocks; keeps one block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sonde::http {

inline constexpr size_t kMaxTableBytes = 32 << 20;

// The uid, or -1 when it cannot be told: the socket is not in the tables, is no longer held by a
// process, or the tables cannot be read. Callers treat -1 as a stranger.
int64_t TcpPeerUid(int connection_fd);

// One line of /proc/net/tcp*, when it is the established, held socket with these ends
// ("0100007F:1DEF"): its uid; else -1. A socket that was closed by its owner shows uid 0, so only
// ones with an inode count.
int64_t UidOfTcpLine(std::string_view line, std::string_view local, std::string_view remote);

}  // namespace sonde::http
