// SPDX-License-Identifier: Apache-2.0
// What the sockets of a network namespace are, from /proc/PID/net. Not
// thread-safe. Memory:
// one text a socket; at most kMaxSocketText bytes of each table are read.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace sonde {

inline constexpr size_t kMaxSocketText = 2 << 20;

// By the link of their descriptors, "socket:[123]": "tcp 127.0.0.1:6379 listening",
// "tcp 10.0.0.1:443 with 10.0.0.7:51234", "unix /run/x.sock".
// `pid` is a process of the namespace; 0: this one.
std::map<std::string, std::string> ReadSocketNames(int pid = 0);

// One line of /proc/net/tcp, tcp6, udp, udp6. False: it is none.
bool ParseInetLine(std::string_view protocol, std::string_view line, std::string* link,
                   std::string* name);
// One line of /proc/net/unix.
bool ParseUnixLine(std::string_view line, std::string* link, std::string* name);

}  // namespace sonde
