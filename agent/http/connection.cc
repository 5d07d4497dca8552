// SPDX-License-Identifier: Apache-2.0
#include "agent/http/connection.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <utility>

#include "agent/http/socket.h"
#include "collectors/safe/sys.h"

namespace sonde::http {
namespace {

constexpr size_t kBlock = 8 << 10;
constexpr int kBlocksAtOnce = 4;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kProcessing = "HTTP/1.1 102 Processing\r\n\r\n";

// The agent's memory is capped: an answer that does not fit is an error of that answer only.
template <typename Make>
Answer Guarded(Make make) {
  try {
    return make();
  } catch (const std::bad_alloc&) {
    return {Response::Text(503, "the agent's memory limit does not leave room for this answer\n"),
            nullptr};
  } catch (const std::exception& error) {
    return {Response::Text(500, std::string("internal error: ") + error.what() + "\n"), nullptr};
  }
}

}  // namespace

Connection::Connection(int fd, Peer peer, const Limits& limits, Handler* handler, int64_t now_ms)
    : fd_(fd),
      peer_(peer),
      limits_(limits),
      handler_(handler),
      parser_(limits.parser),
      state_since_ms_(now_ms),
      last_progress_ms_(now_ms) {}

Connection::~Connection() { http::Close(fd_); }

void Connection::Enter(State state, int64_t now_ms) {
  state_ = state;
  state_since_ms_ = last_progress_ms_ = now_ms;
}

short Connection::poll_events() const {
  switch (state_) {
    case State::kReading:
    case State::kDraining:
      return POLLIN;
    case State::kWriting:
      return POLLOUT;
    case State::kWaiting:
      return peer_finished_ ? 0 : POLLRDHUP;
    case State::kClosed:
      break;
  }
  return 0;
}

int64_t Connection::deadline_ms() const {
  switch (state_) {
    case State::kReading: {
      const bool idle_between = idle() && !first_request_;
      return state_since_ms_ + (idle_between ? limits_.idle_limit_ms : limits_.request_deadline_ms);
    }
    case State::kWaiting:
      return later_->ready_at_ms();
    case State::kWriting:
      return std::min(state_since_ms_ + limits_.write_deadline_ms,
                      last_progress_ms_ + limits_.write_stall_ms);
    case State::kDraining:
      return state_since_ms_ + limits_.drain_ms;
    case State::kClosed:
      break;
  }
  return std::numeric_limits<int64_t>::max();
}

void Connection::OnEvents(short events, int64_t now_ms) {
  if (state_ == State::kWaiting) return OnHangUp(events);
  if (state_ == State::kReading) return Read(now_ms);
  if (state_ == State::kWriting) return Write(now_ms);
  if (state_ == State::kDraining) return Drain();
}

void Connection::OnTime(int64_t now_ms) {
  if (now_ms < deadline_ms()) return;
  if (state_ == State::kWaiting) return FinishLongAnswer(now_ms);
  if (state_ == State::kReading) return TimeOutReading(now_ms);
  Close();  // a client that does not read, or was told why and keeps sending
}

void Connection::FinishEarly(int64_t now_ms) {
  if (state_ == State::kWaiting) FinishLongAnswer(now_ms);
}

void Connection::TimeOutReading(int64_t now_ms) {
  if (idle()) return Close();
  Response response = Response::Text(408, "the request did not arrive in time\n");
  response.close = true;
  handler_->CountResponse("", response.status);
  Reply(std::move(response), now_ms);
}

void Connection::RefuseBusy(int64_t now_ms) {
  refused_ = true;
  Response response = Response::Text(
      503, "all " + std::to_string(limits_.max_connections) + " connections are in use\n");
  response.close = true;
  response.headers.emplace_back("Retry-After", "1");
  handler_->CountResponse("", response.status);
  Reply(std::move(response), now_ms);
}

// A few blocks, so that an end of the stream that already came is seen at once.
void Connection::Read(int64_t now_ms) {
  for (int i = 0; i < kBlocksAtOnce && state_ == State::kReading; ++i) {
    if (!ReadBlock(now_ms)) return;
  }
}

bool Connection::ReadBlock(int64_t now_ms) {
  char block[kBlock];
  const long got = Receive(fd_, block, sizeof(block));
  if (got == -EAGAIN) return false;
  if (got <= 0) {
    Close();
    return false;
  }
  // The time for a request runs from its first byte.
  if (parser_.untouched()) state_since_ms_ = now_ms;
  unread_.append(block, static_cast<size_t>(got));
  Consume(now_ms);
  return true;
}

void Connection::Consume(int64_t now_ms) {
  while (state_ == State::kReading && !unread_.empty()) {
    size_t used = 0;
    const RequestParser::State result = parser_.Feed(unread_, &used);
    unread_.erase(0, used);
    if (result == RequestParser::State::kDone) return AnswerRequest(now_ms);
    if (result == RequestParser::State::kRefused) {
      handler_->CountResponse("", parser_.refusal().status);
      return Reply(parser_.refusal(), now_ms);
    }
    // Too short to fill a fresh socket's buffer, so it goes out whole or the connection is broken.
    if (parser_.TakeContinueWish() && Send(fd_, kContinue) != static_cast<long>(kContinue.size())) {
      return Close();
    }
  }
}

void Connection::AnswerRequest(int64_t now_ms) {
  first_request_ = false;
  parser_.request().peer = peer_;
  parser_.request().peer.fd = fd_;
  Answer answer = Guarded([&] { return handler_->Handle(parser_.request()); });
  if (answer.later == nullptr) {
    handler_->CountResponse(parser_.request().path, answer.response.status);
    return Reply(std::move(answer.response), now_ms);
  }
  later_ = std::move(answer.later);
  Enter(State::kWaiting, now_ms);
}

void Connection::FinishLongAnswer(int64_t now_ms) {
  Answer answer = Guarded([&] { return Answer{later_->Finish(), nullptr}; });
  later_.reset();
  handler_->CountResponse(parser_.request().path, answer.response.status);
  Reply(std::move(answer.response), now_ms);
}

// While an answer is prepared nothing is read: the client can only go away. A closed socket and one
// that was only shut for writing look alike, until something is sent: the former answers with a
// reset.
void Connection::OnHangUp(short events) {
  if (events & (POLLERR | POLLHUP | POLLNVAL)) {
    later_.reset();
    return Close();
  }
  if (!(events & POLLRDHUP)) return;
  peer_finished_ = true;
  const bool may_probe = parser_.request().minor_version >= 1;
  if (may_probe) Send(fd_, kProcessing);
}

void Connection::Reply(Response response, int64_t now_ms) {
  const bool keep_alive = parser_.request().keep_alive && !response.close;
  const bool head_only = parser_.request().method == "HEAD";
  close_after_ = !keep_alive;
  out_ = Serialize(std::move(response), keep_alive, head_only, UnixSeconds());
  out_sent_ = 0;
  Enter(State::kWriting, now_ms);
  Write(now_ms);
}

void Connection::Write(int64_t now_ms) {
  while (out_sent_ < out_.size()) {
    const long sent = Send(fd_, std::string_view(out_).substr(out_sent_));
    if (sent == -EAGAIN) return;
    if (sent <= 0) return Close();
    out_sent_ += static_cast<size_t>(sent);
    last_progress_ms_ = now_ms;
  }
  AfterResponse(now_ms);
}

void Connection::AfterResponse(int64_t now_ms) {
  std::string().swap(out_);  // a profile's memory is given back, not kept for the next one
  if (close_after_) {
    ShutdownWriting(fd_);
    return Enter(State::kDraining, now_ms);
  }
  parser_.Reset();
  Enter(State::kReading, now_ms);
  Consume(now_ms);  // what was pipelined
}

void Connection::Drain() {
  char block[kBlock];
  const long got = Receive(fd_, block, sizeof(block));
  if (got == 0 || (sys::Failed(got) && got != -EAGAIN)) Close();
}

}  // namespace sonde::http
