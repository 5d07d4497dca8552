// SPDX-License-Identifier: Apache-2.0
// The HTTP server of the agent: no thread of its own, no signal, no libc socket call. The agent
// thread's main loop is `for (;;) { server.Wait(next_tick_ms); tick; }`. At most
// Limits::max_connections are served; when all are taken the longest idle one makes room, and when
// all are busy the new one is told 503.
#pragma once

#include <poll.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "agent/http/connection.h"
#include "agent/http/handler.h"
#include "agent/http/peer.h"

namespace sonde::http {

class Server {
 public:
  explicit Server(Handler* handler, const Limits& limits = Limits());
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes over a listening, non-blocking socket.
  void AddListener(int fd, Door door);
  // Closes that listener; connections that came through it go on.
  void RemoveListener(int fd);

  // Serves until something was done or the deadline is reached, whichever is first. `deadline_ms`
  // is on the clock of NowMs(). Call it again and again.
  void Wait(int64_t deadline_ms);

  // Answers every request that waits with what there is now, until the deadline.
  void FinishEarly(int64_t deadline_ms);

  size_t connections() const { return connections_.size(); }
  size_t listeners() const { return listeners_.size(); }

 private:
  struct Listener {
    int fd;
    Door door;
  };

  void FillPollFds();
  int64_t NextDeadline(int64_t latest_ms) const;
  void AcceptFrom(const Listener& listener, int64_t now_ms);
  void Admit(int fd, Door door, int64_t now_ms);
  bool HasRoom(int64_t now_ms);
  bool RoomIsNear(int64_t now_ms) const;
  int Served() const;
  void Serve(size_t first, int64_t now_ms);
  void DropClosed();

  Handler* const handler_;
  const Limits limits_;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<pollfd> poll_fds_;
  int64_t accept_again_ms_ = 0;  // the next accept waits for descriptors or for room
};

}  // namespace sonde::http
