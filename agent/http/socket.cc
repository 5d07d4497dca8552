// SPDX-License-Identifier: Apache-2.0
#include "agent/http/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "collectors/safe/sys.h"

namespace sonde::http {
namespace {

// A burst of connections waits here instead of being sent away for a second by a lost SYN.
constexpr int kBacklog = 512;
const std::atomic<int>* g_poll_signal = nullptr;  // null: poll with the thread's own mask
std::atomic<bool>* g_polling = nullptr;
constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

struct SocketAddress {
  union {
    sockaddr_in ip4;
    sockaddr_in6 ip6;
    sockaddr_un un;
  };
  size_t size = 0;
};

SocketAddress Ip4(const Address& address) {
  SocketAddress out = {};
  out.ip4.sin_family = AF_INET;
  out.ip4.sin_port = __builtin_bswap16(address.port);
  std::memcpy(&out.ip4.sin_addr, address.ip, 4);
  out.size = sizeof(out.ip4);
  return out;
}

SocketAddress Ip6(const Address& address) {
  SocketAddress out = {};
  out.ip6.sin6_family = AF_INET6;
  out.ip6.sin6_port = __builtin_bswap16(address.port);
  std::memcpy(&out.ip6.sin6_addr, address.ip, 16);
  out.size = sizeof(out.ip6);
  return out;
}

SocketAddress Unix(const Address& address) {
  SocketAddress out = {};
  out.un.sun_family = AF_UNIX;
  const size_t lead = address.family == Address::Family::kUnixAbstract ? 1 : 0;
  const size_t length = std::strlen(address.path);
  std::memcpy(out.un.sun_path + lead, address.path, length);
  // A path counts its NUL, an abstract name counts its leading NUL.
  out.size = offsetof(sockaddr_un, sun_path) + length + 1;
  return out;
}

long SetOption(int fd, int level, int option, int value) {
  return sys::Call(SYS_setsockopt, fd, level, option, &value, sizeof(value));
}

long BindAndListen(int fd, const SocketAddress& address) {
  const long bound = sys::Call(SYS_bind, fd, &address.un, address.size);
  if (sys::Failed(bound)) return bound;
  return sys::Call(SYS_listen, fd, kBacklog);
}

long ListenTcp(const SocketAddress& address, bool only_this_family) {
  const int family = address.un.sun_family;
  const long fd = sys::Call(SYS_socket, family, kSocketFlags, 0);
  if (sys::Failed(fd)) return fd;
  SetOption(static_cast<int>(fd), SOL_SOCKET, SO_REUSEADDR, 1);
  if (family == AF_INET6) {
    SetOption(static_cast<int>(fd), IPPROTO_IPV6, IPV6_V6ONLY, only_this_family);
  }
  const long result = BindAndListen(static_cast<int>(fd), address);
  if (!sys::Failed(result)) return fd;
  Close(static_cast<int>(fd));
  return result;
}

// True when a socket file is there and nobody listens behind it.
bool IsDeadSocket(const SocketAddress& address) {
  const long fd = sys::Call(SYS_socket, AF_UNIX, kSocketFlags, 0);
  if (sys::Failed(fd)) return false;
  const long result = sys::Call(SYS_connect, fd, &address.un, address.size);
  Close(static_cast<int>(fd));
  return result == -ECONNREFUSED;
}

long ListenUnix(const Address& where) {
  const SocketAddress address = Unix(where);
  const bool is_file = where.family == Address::Family::kUnixPath;
  const long fd = sys::Call(SYS_socket, AF_UNIX, kSocketFlags, 0);
  if (sys::Failed(fd)) return fd;
  // The file gets the socket's mode at bind; umask would be the whole process's.
  sys::Call(SYS_fchmod, fd, 0600);
  long result = BindAndListen(static_cast<int>(fd), address);
  if (result == -EADDRINUSE && is_file && IsDeadSocket(address)) {
    sys::Call(SYS_unlink, where.path);
    result = BindAndListen(static_cast<int>(fd), address);
  }
  if (!sys::Failed(result)) return fd;
  Close(static_cast<int>(fd));
  return result;
}

long ListenEverywhere(const Address& address) {
  const long both = ListenTcp(Ip6(address), false);
  return both == -EAFNOSUPPORT || both == -EADDRNOTAVAIL ? ListenTcp(Ip4(address), true) : both;
}

int64_t Clock(clockid_t clock, int64_t units_per_second) {
  timespec now = {};
  clock_gettime(clock, &now);
  return now.tv_sec * units_per_second + now.tv_nsec / (1000000000 / units_per_second);
}

}  // namespace

long Listen(const Address& address) {
  switch (address.family) {
    case Address::Family::kIp4:
      return ListenTcp(Ip4(address), true);
    case Address::Family::kIp6:
      return ListenTcp(Ip6(address), true);
    case Address::Family::kEveryInterface:
      return ListenEverywhere(address);
    case Address::Family::kUnixPath:
    case Address::Family::kUnixAbstract:
      break;
  }
  return ListenUnix(address);
}

long Accept(int listener) {
  return sys::Call(SYS_accept4, listener, 0L, 0L, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

long Receive(int fd, char* buffer, size_t size) {
  long got = 0;
  do {
    got = sys::Call(SYS_recvfrom, fd, buffer, size, MSG_DONTWAIT, 0L, 0L);
  } while (got == -EINTR);
  return got;
}

long Send(int fd, std::string_view bytes) {
  long sent = 0;
  do {
    sent =
        sys::Call(SYS_sendto, fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, 0L, 0L);
  } while (sent == -EINTR);
  return sent;
}

long Poll(std::span<pollfd> fds, int64_t timeout_ms) {
  const int64_t wait_ms = std::clamp<int64_t>(timeout_ms, 0, 3600 * 1000);
  timespec timeout = {wait_ms / 1000, wait_ms % 1000 * 1000000};
  if (g_poll_signal == nullptr) {
    return sys::Call(SYS_ppoll, fds.data(), fds.size(), &timeout, 0L, 0L);
  }
  // First the mark, then the look at the signal: see SetPollSignal.
  g_polling->store(true, std::memory_order_seq_cst);
  const int signal = g_poll_signal->load(std::memory_order_seq_cst);
  constexpr uint64_t kLibcSignals = uint64_t{3} << 31;  // 32 and 33 are never masked
  const uint64_t mask = ~(kLibcSignals | (signal != 0 ? uint64_t{1} << (signal - 1) : 0));
  const long ready = sys::Call(SYS_ppoll, fds.data(), fds.size(), &timeout, &mask, sizeof mask);
  g_polling->store(false, std::memory_order_seq_cst);
  return ready;
}

void SetPollSignal(const std::atomic<int>* signal, std::atomic<bool>* polling) {
  g_poll_signal = signal;
  g_polling = polling;
}

void ShutdownWriting(int fd) { sys::Call(SYS_shutdown, fd, SHUT_WR); }
void Close(int fd) { sys::Call(SYS_close, fd); }

int64_t UnixPeerUid(int fd) {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  const long result = sys::Call(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
  return sys::Failed(result) ? -1 : static_cast<int64_t>(credentials.uid);
}

int64_t NowMs() { return Clock(CLOCK_MONOTONIC, 1000); }
int64_t UnixSeconds() { return Clock(CLOCK_REALTIME, 1); }

}  // namespace sonde::http
