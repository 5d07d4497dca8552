// SPDX-License-Identifier: Apache-2.0
#include "agent/http/server.h"

#include <errno.h>

#include <algorithm>
#include <new>
#include <utility>

#include "agent/http/socket.h"
#include "collectors/safe/sys.h"

namespace sonde::http {
namespace {

constexpr int64_t kAcceptPauseMs = 100;
constexpr int64_t kRoomPauseMs = 10;

bool OutOfDescriptors(long error) {
  return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

}  // namespace

Server::Server(Handler* handler, const Limits& limits) : handler_(handler), limits_(limits) {}

Server::~Server() {
  for (const Listener& listener : listeners_) Close(listener.fd);
}

void Server::AddListener(int fd, Door door) { listeners_.push_back({fd, door}); }

void Server::RemoveListener(int fd) {
  const auto removed = std::erase_if(listeners_, [&](const Listener& l) { return l.fd == fd; });
  if (removed != 0) Close(fd);
}

void Server::Wait(int64_t deadline_ms) {
  FillPollFds();
  const long ready = Poll(poll_fds_, NextDeadline(deadline_ms) - NowMs());
  const int64_t now_ms = NowMs();
  const size_t first_connection = poll_fds_.size() - connections_.size();
  if (ready > 0) Serve(first_connection, now_ms);
  for (const auto& connection : connections_) {
    try {
      connection->OnTime(now_ms);
    } catch (const std::bad_alloc&) {
      connection->Close();
    }
  }
  DropClosed();
  if (ready > 0 && first_connection == listeners_.size()) {
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (poll_fds_[i].revents != 0) AcceptFrom(listeners_[i], now_ms);
    }
  }
  DropClosed();
}

void Server::FinishEarly(int64_t deadline_ms) {
  for (const auto& connection : connections_) {
    const int64_t now_ms = NowMs();
    if (now_ms >= deadline_ms) return;
    try {
      connection->FinishEarly(now_ms);
    } catch (const std::bad_alloc&) {
      connection->Close();
    }
  }
}

// Listeners first (none while descriptors or room are short), then the connections in their order.
void Server::FillPollFds() {
  poll_fds_.clear();
  if (NowMs() >= accept_again_ms_) {
    for (const Listener& listener : listeners_) poll_fds_.push_back({listener.fd, POLLIN, 0});
  }
  for (const auto& connection : connections_) {
    poll_fds_.push_back({connection->fd(), connection->poll_events(), 0});
  }
}

int64_t Server::NextDeadline(int64_t latest_ms) const {
  int64_t next = latest_ms;
  if (accept_again_ms_ > NowMs()) next = std::min(next, accept_again_ms_);
  for (const auto& connection : connections_) next = std::min(next, connection->deadline_ms());
  return next;
}

void Server::Serve(size_t first, int64_t now_ms) {
  for (size_t i = 0; i < connections_.size(); ++i) {
    const short events = poll_fds_[first + i].revents;
    if (events == 0) continue;
    try {
      connections_[i]->OnEvents(events, now_ms);
    } catch (const std::bad_alloc&) {
      connections_[i]->Close();
    }
  }
}

// One for each poll that says there is one, so that room is made only for a client that is there.
void Server::AcceptFrom(const Listener& listener, int64_t now_ms) {
  // Others wait in the kernel's queue meanwhile: better late than refused.
  if (!HasRoom(now_ms) && RoomIsNear(now_ms)) {
    accept_again_ms_ = now_ms + kRoomPauseMs;
    return;
  }
  const long fd = Accept(listener.fd);
  if (OutOfDescriptors(fd)) accept_again_ms_ = now_ms + kAcceptPauseMs;
  if (!sys::Failed(fd)) Admit(static_cast<int>(fd), listener.door, now_ms);
}

void Server::Admit(int fd, Door door, int64_t now_ms) {
  Peer peer;
  peer.door = door;
  if (door == Door::kUnix) peer.uid = UnixPeerUid(fd);
  const bool has_room = Served() < limits_.max_connections;
  const int refusals = static_cast<int>(connections_.size()) - Served();
  if (!has_room && refusals >= limits_.max_refusals) return Close(fd);
  try {
    connections_.reserve(connections_.size() + 1);
    auto connection = std::make_unique<Connection>(fd, peer, limits_, handler_, now_ms);
    fd = -1;
    connections_.push_back(std::move(connection));
    if (!has_room) connections_.back()->RefuseBusy(now_ms);
  } catch (const std::bad_alloc&) {
    if (fd >= 0) Close(fd);
  }
}

// Makes room at need: a client that asks nothing does not keep out one that does. Called only when
// a connection waits to be accepted.
bool Server::HasRoom(int64_t now_ms) {
  if (Served() < limits_.max_connections) return true;
  Connection* longest = nullptr;
  for (const auto& connection : connections_) {
    if (!connection->expendable() || connection->refused() || connection->just_began(now_ms))
      continue;
    const bool is_longer = longest == nullptr || connection->since_ms() < longest->since_ms();
    if (is_longer) longest = connection.get();
  }
  if (longest == nullptr) return false;
  longest->Close();
  DropClosed();
  return true;
}

bool Server::RoomIsNear(int64_t now_ms) const {
  return std::any_of(connections_.begin(), connections_.end(), [&](const auto& connection) {
    return !connection->refused() && connection->just_began(now_ms);
  });
}

int Server::Served() const {
  return static_cast<int>(std::count_if(connections_.begin(), connections_.end(),
                                        [](const auto& c) { return !c->refused(); }));
}

void Server::DropClosed() {
  std::erase_if(connections_, [](const auto& connection) { return connection->closed(); });
}

}  // namespace sonde::http
