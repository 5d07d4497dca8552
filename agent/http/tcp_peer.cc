// SPDX-License-Identifier: Apache-2.0
#include "agent/http/tcp_peer.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>

#include "agent/http/query.h"
#include "collectors/safe/sys.h"

namespace sonde::http {
namespace {

constexpr std::string_view kEstablished = "01";

std::string_view NextField(std::string_view* line) {
  line->remove_prefix(std::min(line->find_first_not_of(' '), line->size()));
  const size_t end = std::min(line->find(' '), line->size());
  const std::string_view field = line->substr(0, end);
  line->remove_prefix(end);
  return field;
}

void AppendHex(std::string* out, uint32_t value, int digits) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out->push_back(kDigits[value >> shift & 15]);
  }
}

// As the kernel prints it: each 32-bit word in memory order, the port as a number.
std::string TableForm(const uint8_t* ip, size_t size, uint16_t network_port) {
  std::string text;
  for (size_t i = 0; i < size; i += 4) {
    uint32_t word = 0;
    std::memcpy(&word, ip + i, 4);
    AppendHex(&text, word, 8);
  }
  text.push_back(':');
  AppendHex(&text, __builtin_bswap16(network_port), 4);
  return text;
}

// One end of a connection in the forms of both tables; tcp6 also holds IPv4 peers, as mapped
// addresses.
struct End {
  std::string ip4;  // empty: a true IPv6 address
  std::string ip6;
};

End MakeEnd(const uint8_t ip6[16], uint16_t port) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  End end;
  end.ip6 = TableForm(ip6, 16, port);
  if (std::memcmp(ip6, kMapped, sizeof(kMapped)) == 0) end.ip4 = TableForm(ip6 + 12, 4, port);
  return end;
}

std::optional<End> EndOf(int fd, long name_call) {
  sockaddr_in6 address = {};
  socklen_t size = sizeof(address);
  if (sys::Failed(sys::Call(name_call, fd, &address, &size))) return std::nullopt;
  if (address.sin6_family == AF_INET6) {
    return MakeEnd(address.sin6_addr.s6_addr, address.sin6_port);
  }
  if (address.sin6_family != AF_INET) return std::nullopt;
  sockaddr_in ip4;
  std::memcpy(&ip4, &address, sizeof(ip4));
  uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::memcpy(mapped + 12, &ip4.sin_addr, 4);
  return MakeEnd(mapped, ip4.sin_port);
}

class Table {
 public:
  explicit Table(const char* path)
      : fd_(sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)) {}
  ~Table() {
    if (!sys::Failed(fd_)) sys::Call(SYS_close, fd_);
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  int64_t Find(std::string_view local, std::string_view remote) {
    std::string pending;
    size_t total = 0;
    for (long got = Read(&pending); got > 0 && total < kMaxTableBytes; got = Read(&pending)) {
      total += static_cast<size_t>(got);
      const int64_t uid = TakeLines(&pending, local, remote);
      if (uid >= 0) return uid;
    }
    return -1;
  }

 private:
  long Read(std::string* pending) {
    char block[16 << 10];
    if (sys::Failed(fd_)) return 0;
    const long got = sys::Call(SYS_read, fd_, block, sizeof(block));
    if (got > 0) pending->append(block, static_cast<size_t>(got));
    return got;
  }
  static int64_t TakeLines(std::string* pending, std::string_view local, std::string_view remote) {
    size_t begin = 0;
    for (size_t end; (end = pending->find('\n', begin)) != pending->npos; begin = end + 1) {
      const std::string_view line(pending->data() + begin, end - begin);
      const int64_t uid = UidOfTcpLine(line, local, remote);
      if (uid >= 0) return uid;
    }
    pending->erase(0, begin);
    return -1;
  }
  const long fd_;
};

}  // namespace

int64_t UidOfTcpLine(std::string_view line, std::string_view local, std::string_view remote) {
  NextField(&line);  // "sl"
  if (NextField(&line) != local || NextField(&line) != remote) return -1;
  if (NextField(&line) != kEstablished) return -1;
  for (int skipped = 0; skipped < 3; ++skipped) NextField(&line);  // queues, timer, retransmits
  const auto uid = ParseInteger(NextField(&line));
  NextField(&line);  // timeout
  const auto inode = ParseInteger(NextField(&line));
  return uid && inode && *inode != 0 ? *uid : -1;
}

int64_t TcpPeerUid(int connection_fd) {
  // The peer's own socket has our two ends the other way round.
  const auto ours = EndOf(connection_fd, SYS_getsockname);
  const auto theirs = EndOf(connection_fd, SYS_getpeername);
  if (!ours || !theirs) return -1;
  if (!ours->ip4.empty() && !theirs->ip4.empty()) {
    const int64_t uid = Table("/proc/self/net/tcp").Find(theirs->ip4, ours->ip4);
    if (uid >= 0) return uid;
  }
  return Table("/proc/self/net/tcp6").Find(theirs->ip6, ours->ip6);
}

}  // namespace sonde::http
