// SPDX-License-Identifier: Apache-2.0
// Where a listener is: numeric addresses and unix sockets only, because resolving a name would load
// code and open files in the host. Called when settings are checked and when listeners are opened.
// Thread-safe (pure). Nothing allocates.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/config/settings.h"

namespace sonde {

inline constexpr std::string_view kAddressForms =
    "an address: 127.0.0.1:PORT, [::1]:PORT, :PORT (every interface), unix:/path or unix:@abstract";

struct Address {
  enum class Family : uint8_t { kIp4, kIp6, kEveryInterface, kUnixPath, kUnixAbstract };
  static constexpr size_t kPathCapacity = 107;  // sun_path without its NUL

  Family family = Family::kIp4;
  uint8_t ip[16] = {};  // network order; the first four bytes for kIp4
  uint16_t port = 0;
  char path[kPathCapacity + 1] = {};  // without the '@'

  bool IsUnix() const { return family == Family::kUnixPath || family == Family::kUnixAbstract; }
  // Only programs on this machine (or in this pod) can reach it.
  bool IsLocal() const;
};

// Nothing when the text is not one of kAddressForms.
std::optional<Address> ParseAddress(std::string_view text);

// The numeric forms a Host header may have: dotted IPv4, IPv6 without brackets.
std::optional<uint32_t> ParseIp4(std::string_view text);  // host order
bool ParseIp6(std::string_view text, uint8_t out[16]);

}  // namespace sonde
