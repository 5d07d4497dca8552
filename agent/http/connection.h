// SPDX-License-Identifier: Apache-2.0
// One connection: reads a request, has it answered, writes the response, and again. It never
// blocks.
//
//   reading ──request──► waiting (long answers) ──► writing ──► reading   (kept alive)
//      └──────refused, timed out──────────────────────►  └────► draining ──► closed
//
// Agent thread only. Memory: one request, one response, 8 KiB of unread pipelined bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "agent/http/handler.h"
#include "agent/http/request_parser.h"

namespace sonde::http {

struct Limits {
  ParserLimits parser;
  int max_connections = 64;
  int max_refusals = 16;  // further connections that are told 503
  int64_t request_deadline_ms =
      10000;                       // from the first byte (or the accept) to the last of a request
  int64_t idle_limit_ms = 60000;   // between two requests
  int64_t write_stall_ms = 10000;  // without a byte taken by the client
  int64_t write_deadline_ms = 120000;  // a whole response
  int64_t drain_ms = 1000;  // after an error, so that the client reads it before the reset
};

class Connection {
 public:
  Connection(int fd, Peer peer, const Limits& limits, Handler* handler, int64_t now_ms);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  short poll_events() const;
  // When OnTime must be called, at the latest.
  int64_t deadline_ms() const;
  bool closed() const { return state_ == State::kClosed; }
  // Owes nobody an answer: no byte of a request has come, or the last answer was sent.
  bool expendable() const { return idle() || state_ == State::kDraining; }
  // Did not have the time yet to say what it wants, or to take its leave.
  bool just_began(int64_t now_ms) const {
    return (state_ == State::kReading || state_ == State::kDraining) &&
           now_ms - state_since_ms_ < kGraceMs;
  }
  bool refused() const { return refused_; }
  int64_t since_ms() const { return state_since_ms_; }

  void OnEvents(short events, int64_t now_ms);
  void OnTime(int64_t now_ms);
  // A long answer is given now, as far as it is.
  void FinishEarly(int64_t now_ms);
  // Answers 503 to whatever it asks and closes.
  void RefuseBusy(int64_t now_ms);
  void Close() { state_ = State::kClosed; }

 private:
  static constexpr int64_t kGraceMs = 50;
  enum class State : uint8_t { kReading, kWaiting, kWriting, kDraining, kClosed };

  bool idle() const { return state_ == State::kReading && parser_.untouched(); }
  void Enter(State state, int64_t now_ms);
  void Read(int64_t now_ms);
  bool ReadBlock(int64_t now_ms);
  void Consume(int64_t now_ms);
  void AnswerRequest(int64_t now_ms);
  void FinishLongAnswer(int64_t now_ms);
  void Reply(Response response, int64_t now_ms);
  void Write(int64_t now_ms);
  void AfterResponse(int64_t now_ms);
  void Drain();
  void OnHangUp(short events);
  void TimeOutReading(int64_t now_ms);

  const int fd_;
  const Peer peer_;
  const Limits& limits_;
  Handler* const handler_;
  RequestParser parser_;
  State state_ = State::kReading;
  int64_t state_since_ms_;
  int64_t last_progress_ms_;
  std::string unread_;  // of a pipelined request
  std::string out_;
  size_t out_sent_ = 0;
  std::unique_ptr<LongAnswer> later_;
  bool close_after_ = false;
  bool refused_ = false;
  bool first_request_ = true;
  bool peer_finished_ = false;  // will send nothing more
};

}  // namespace sonde::http
