// SPDX-License-Identifier: Apache-2.0
// /debug/pprof/threads (alias goroutine) and /debug/sonde/threads: where every thread stands. The
// connection is parked for the moment that running threads need to answer.
#include <limits.h>

#include <memory>
#include <string>
#include <utility>

#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/threads_source.h"
#include "agent/endpoints/threads_text.h"
#include "agent/http/query.h"
#include "agent/http/socket.h"
#include "collectors/safe/region_file.h"

namespace sonde {
namespace {

constexpr int kMaxDumps = 2;  // at the same time
constexpr int64_t kPollMs = 5;

using Form = std::string (*)(Context*, const ThreadDump&);

class ThreadsAnswer final : public http::LongAnswer {
 public:
  ThreadsAnswer(Context* context, std::unique_ptr<ThreadDump> dump, Form form, const char* type)
      : context_(context), dump_(std::move(dump)), form_(form), type_(type) {
    ++context_->open_dumps;
  }
  ~ThreadsAnswer() override { --context_->open_dumps; }
  ThreadsAnswer(const ThreadsAnswer&) = delete;
  ThreadsAnswer& operator=(const ThreadsAnswer&) = delete;

  // Asked whenever the server decides how long to sleep.
  int64_t ready_at_ms() const override {
    const int64_t now_ms = http::NowMs();
    if (!finished_ && now_ms >= next_poll_ms_) {
      finished_ = dump_->Poll(MonotonicNs());
      next_poll_ms_ = now_ms + kPollMs;
    }
    return finished_ ? 0 : next_poll_ms_;
  }

  http::Response Finish() override {
    http::Response response;
    response.body = form_(context_, *dump_);
    response.content_type = type_;
    ++context_->profile_downloads["threads"];
    return response;
  }

 private:
  Context* const context_;
  const std::unique_ptr<ThreadDump> dump_;
  const Form form_;
  const char* const type_;
  mutable bool finished_ = false;
  mutable int64_t next_poll_ms_ = 0;
};

http::Answer Refuse(int status, std::string text) {
  return {PprofError(status, std::move(text)), nullptr};
}

http::Answer Dump(Context& context, const http::Request& request, Form form, const char* type) {
  if (request.method == "HEAD") return {http::Response::Text(200, ""), nullptr};
  ThreadsSource* const source = context.sources->Threads();
  if (source == nullptr) return Refuse(503, "Threads cannot be looked at by this agent now\n");
  if (context.open_dumps >= kMaxDumps) {
    return Refuse(429, std::to_string(kMaxDumps) + " dumps of all threads are under way\n");
  }
  const auto parameters = http::ParseParameters(request.query);
  const std::string* const text = http::FindParameter(parameters, "pid");
  const auto pid = text == nullptr ? std::optional<int64_t>(0) : http::ParseInteger(*text);
  if (!pid || *pid < 0 || *pid > INT_MAX) return Refuse(400, "pid: expected a process's number\n");
  std::string error;
  auto dump = source->OpenThreadDump(static_cast<int>(*pid), &error);
  if (dump == nullptr) return Refuse(404, error + "\n");
  return {{}, std::make_unique<ThreadsAnswer>(&context, std::move(dump), form, type)};
}

}  // namespace

http::Answer ServeThreads(Context& context, const http::Request& request) {
  constexpr const char* kText = "text/plain; charset=utf-8";
  const auto parameters = http::ParseParameters(request.query);
  const std::string* debug = http::FindParameter(parameters, "debug");
  const auto level = debug == nullptr ? std::optional<int64_t>(0) : http::ParseInteger(*debug);
  if (level == 0) return Dump(context, request, ThreadsProfile, "application/octet-stream");
  if (level == 1) return Dump(context, request, GroupedThreadsText, kText);
  if (level == 2) return Dump(context, request, ThreadsText, kText);
  return Refuse(400, "debug: expected 0, 1 or 2\n");
}

http::Answer ServeThreadsJson(Context& context, const http::Request& request) {
  return Dump(context, request, ThreadsJson, "application/json");
}

}  // namespace sonde
