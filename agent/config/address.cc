// SPDX-License-Identifier: Apache-2.0
#include "agent/config/address.h"

#include <algorithm>
#include <cstring>

namespace sonde {
namespace {

constexpr std::string_view kUnix = "unix:";

std::optional<unsigned> Decimal(std::string_view text, unsigned max) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  unsigned value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (value > max || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  return value;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Groups of one side of "::" into `out`; the number of bytes, or -1.
int HexGroups(std::string_view text, uint8_t out[16]) {
  int used = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(':'), text.size());
    if (end == 0 || end > 4 || used == 16) return -1;
    int value = 0;
    for (char c : text.substr(0, end)) {
      if (HexDigit(c) < 0) return -1;
      value = value * 16 + HexDigit(c);
    }
    out[used++] = static_cast<uint8_t>(value >> 8);
    out[used++] = static_cast<uint8_t>(value & 0xff);
    text.remove_prefix(end);
    if (text == ":") return -1;
    if (!text.empty()) text.remove_prefix(1);
  }
  return used;
}

std::optional<Address> ParseUnix(std::string_view rest) {
  Address address;
  address.family = Address::Family::kUnixPath;
  if (rest.starts_with('@')) {
    address.family = Address::Family::kUnixAbstract;
    rest.remove_prefix(1);
  } else if (!rest.starts_with('/')) {
    return std::nullopt;
  }
  const size_t room = Address::kPathCapacity - (address.family == Address::Family::kUnixAbstract);
  if (rest.empty() || rest.size() > room) return std::nullopt;
  std::memcpy(address.path, rest.data(), rest.size());
  return address;
}

bool ParseHost(std::string_view host, Address* address) {
  if (host.empty()) {
    address->family = Address::Family::kEveryInterface;
    return true;
  }
  if (host.starts_with('[') && host.ends_with(']')) {
    address->family = Address::Family::kIp6;
    return ParseIp6(host.substr(1, host.size() - 2), address->ip);
  }
  const auto ip = ParseIp4(host);
  for (int i = 0; ip && i < 4; ++i) address->ip[i] = static_cast<uint8_t>(*ip >> (24 - 8 * i));
  return ip.has_value();
}

}  // namespace

bool Address::IsLocal() const {
  static constexpr uint8_t kLoopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  if (IsUnix()) return true;
  if (family == Family::kIp4) return ip[0] == 127;
  return family == Family::kIp6 && std::memcmp(ip, kLoopback6, sizeof(ip)) == 0;
}

std::optional<uint32_t> ParseIp4(std::string_view text) {
  uint32_t ip = 0;
  for (int part = 0; part < 4; ++part) {
    const size_t end = part < 3 ? text.find('.') : text.size();
    if (end == text.npos) return std::nullopt;
    const auto value = Decimal(text.substr(0, end), 255);
    if (!value) return std::nullopt;
    ip = ip << 8 | *value;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return ip;
}

bool ParseIp6(std::string_view text, uint8_t out[16]) {
  uint8_t head[16] = {};
  uint8_t tail[16] = {};
  const size_t gap = text.find("::");
  const int head_size = HexGroups(text.substr(0, gap), head);
  const int tail_size = gap == text.npos ? 0 : HexGroups(text.substr(gap + 2), tail);
  if (head_size < 0 || tail_size < 0) return false;
  if (gap == text.npos ? head_size != 16 : head_size + tail_size > 14) return false;
  std::memset(out, 0, 16);
  std::memcpy(out, head, static_cast<size_t>(head_size));
  std::memcpy(out + 16 - tail_size, tail, static_cast<size_t>(tail_size));
  return true;
}

std::optional<Address> ParseAddress(std::string_view text) {
  if (text.starts_with(kUnix)) return ParseUnix(text.substr(kUnix.size()));
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  const auto port = Decimal(text.substr(colon + 1), 65535);
  Address address;
  if (!port || *port == 0 || !ParseHost(text.substr(0, colon), &address)) return std::nullopt;
  address.port = static_cast<uint16_t>(*port);
  return address;
}

}  // namespace sonde
