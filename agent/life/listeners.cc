// SPDX-License-Identifier: Apache-2.0
#include "agent/life/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>

#include <cstdlib>

#include "agent/config/address.h"
#include "agent/http/socket.h"
#include "agent/life/go_program.h"
#include "agent/life/run_dir.h"
#include "agent/life/small_reads.h"
#include "agent/life/tree.h"
#include "agent/life/yield.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

namespace sonde::life {

std::string HostName() {
  utsname names{};
  sys::Call(SYS_uname, &names);
  std::string host = names.nodename;
  for (char& c : host) c = c == '/' || c == ' ' ? '_' : c;
  return host;
}

std::string ProcessTag() {
  const int pid = sys::Getpid();
  return HostName() + "-" + std::to_string(pid) + "-" + std::to_string(StartTicksOf(pid));
}

namespace {

// A socket of this host whose listener is gone. Asked of the socket itself: its process may be in
// another pid name space, where it has another number.
bool IsStale(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  path.copy(address.sun_path, path.size());
  const long fd = sys::Call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0L);
  if (sys::Failed(fd)) return false;
  const long result = sys::Call(SYS_connect, fd, &address, sizeof address);
  sys::Call(SYS_close, fd);
  return result == -ECONNREFUSED;
}

}  // namespace

// Nothing is done at exit, so whoever comes next clears away what the dead left.
void Listeners::RemoveStaleSockets(const std::string& dir) {
  const long fd = sys::Call(SYS_openat, AT_FDCWD, dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (sys::Failed(fd)) return;
  const std::string prefix = HostName() + "-";
  for (const std::string& name : ListDirectory(static_cast<int>(fd))) {
    const bool ours = name.starts_with(prefix) && name.ends_with(".sock");
    std::string path = dir;
    path.append("/").append(name);
    if (ours && IsStale(path)) sys::Call(SYS_unlinkat, fd, name.c_str(), 0L);
  }
  sys::Call(SYS_close, fd);
}

Listeners::~Listeners() {
  for (const Entry& entry : entries_) {
    const auto address = ParseAddress(entry.address);
    if (entry.fd < 0 || !address || address->family != Address::Family::kUnixPath) continue;
    sys::Call(SYS_unlinkat, AT_FDCWD, address->path, 0L);
  }
}

void Listeners::PublishPort(const Entry& entry) const {
  const auto address = ParseAddress(entry.address);
  if (entry.door == http::Door::kMetrics || !address || address->IsUnix()) return;
  g_our_port.store(address->port, std::memory_order_release);
  SetTreePort(address->port);
}

void Listeners::TryOpen(Entry* entry) {
  const auto address = ParseAddress(entry->address);
  std::string& state = (*states_)[entry->state].state;
  if (!address) {
    state = "not " + std::string(kAddressForms);
    entry->given_up = true;
    return;
  }
  const long fd = http::Listen(*address);
  if (fd >= 0) {
    entry->fd = static_cast<int>(fd);
    server_->AddListener(entry->fd, entry->door);
    state = "listening";
    return PublishPort(*entry);
  }
  entry->given_up = fd != -EADDRINUSE;
  state = fd == -EADDRINUSE ? "in use by another process, tried again every 5 s"
                            : "cannot listen: errno " + std::to_string(-fd);
}

void Listeners::Add(const std::string& address, http::Door door, const std::string& refusal) {
  if (address.empty()) return;
  states_->push_back({address, refusal});
  entries_.push_back({address, door, states_->size() - 1});
  entries_.back().given_up = !refusal.empty();
  if (!refusal.empty()) return;
  if (door == http::Door::kUnix || !ProgramIsGo()) return TryOpen(&entries_.back());
  states_->back().state = "opened 5 s after the start: a Go program takes its ports first";
}

void Listeners::OpenUnixSocket(const Settings& settings) {
  const std::string dir = RunDirectory(settings.run_dir.data);
  if (!dir.empty()) {
    RemoveStaleSockets(dir);
    Add("unix:" + dir + "/" + ProcessTag() + ".sock", http::Door::kUnix, "");
    if (entries_.back().fd >= 0) return;
  }
  Add("unix:@sonde/" + ProcessTag(), http::Door::kUnix, "");
}

void Listeners::Open(const Settings& settings, bool token_given, int64_t now_ms) {
  const auto address = ParseAddress(settings.listen.view());
  const bool local = !address || address->IsLocal();
  Add(settings.listen.data, local ? http::Door::kLocalTcp : http::Door::kRemoteTcp,
      local || token_given
          ? ""
          : "refused: off loopback profiles are served only with SONDE_TOKEN_FILE set");
  Add(settings.metrics_listen.data, http::Door::kMetrics, "");
  OpenUnixSocket(settings);
  next_try_ms_ = now_ms + kRetryMs;
}

void Listeners::Tick(int64_t now_ms) {
  if (now_ms < next_try_ms_) return;
  next_try_ms_ = now_ms + kRetryMs;
  for (Entry& entry : entries_) {
    if (entry.fd < 0 && !entry.given_up) TryOpen(&entry);
  }
}

void Listeners::YieldPort() {
  const int port = g_our_port.load(std::memory_order_acquire);
  for (Entry& entry : entries_) {
    const auto address = ParseAddress(entry.address);
    if (!address || address->IsUnix() || address->port != port) continue;
    if (entry.fd >= 0) server_->RemoveListener(entry.fd);
    entry.fd = -1;
    entry.given_up = true;
    (*states_)[entry.state].state = "given up: the service itself uses this port";
  }
  g_our_port.store(0, std::memory_order_release);
  SetTreePort(0);
}

}  // namespace sonde::life
