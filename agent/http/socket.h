// SPDX-License-Identifier: Apache-2.0
// The system calls of the server, raw: libc's bind, listen, accept and poll are hooked by
// ourselves. All sockets are non-blocking and close-on-exec; no signal is touched (MSG_NOSIGNAL).
// Agent thread; results below zero are negated errnos.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "agent/config/address.h"

namespace sonde::http {

// A listening socket, or a negated errno. A unix socket's file is made with mode 0600 and replaces
// a dead one.
long Listen(const Address& address);

// The next connection, or a negated errno (-EAGAIN: none).
long Accept(int listener);

long Receive(int fd, char* buffer, size_t size);
long Send(int fd, std::string_view bytes);
long Poll(std::span<pollfd> fds, int64_t timeout_ms);
// A signal that other threads send to this one to end Poll early (-EINTR); 0: none. All others stay
// as masked as they are. `polling` is true while that signal may be delivered: whoever sets
// `signal` to 0 and then sees it false knows that it will not be any more.
void SetPollSignal(const std::atomic<int>* signal, std::atomic<bool>* polling);
void ShutdownWriting(int fd);
void Close(int fd);

// The uid at the other end of a unix socket, or -1.
int64_t UnixPeerUid(int fd);

// Milliseconds of a clock that never jumps.
int64_t NowMs();
int64_t UnixSeconds();

}  // namespace sonde::http
