// SPDX-License-Identifier: Apache-2.0
// /debug/pprof/profile. With `seconds`: opens a capture, waits, builds. The connection is parked
// meanwhile; when its client goes away the capture ends with it. With `last`, or `from` and `to`:
// answers at once, from the recording of the last minutes.
#include <time.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "agent/endpoints/cpu_profile.h"
#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/past_question.h"
#include "agent/http/query.h"
#include "agent/http/socket.h"

namespace sonde {
namespace {

constexpr int64_t kDefaultSeconds = 30;  // Go's
constexpr int64_t kMaxHz = 1000;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr const char* kOfNow[] = {"seconds", "hz"};

int64_t UnixNs() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

http::Response ProfileResponse(Context* context, CpuProfileInput input) {
  http::Response response;
  Symbolizer* symbols = context->in_a_hurry ? nullptr : &context->Symbols();
  response.body = BuildCpuProfile(input, context->sources, symbols);
  response.content_type = "application/octet-stream";
  response.headers.emplace_back("Content-Disposition", "attachment; filename=\"profile\"");
  AddWindowHeader(input.window, input.notes, &response);
  ++context->profile_downloads["cpu"];
  return response;
}

class CpuProfileAnswer final : public http::LongAnswer {
 public:
  CpuProfileAnswer(Context* context, std::unique_ptr<CpuCapture> capture, int64_t seconds)
      : context_(context),
        capture_(std::move(capture)),
        seconds_(seconds),
        ready_at_ms_(http::NowMs() + seconds * 1000),
        dropped_before_(context->sources->Status().dropped) {
    ++context_->open_captures;
  }
  ~CpuProfileAnswer() override { --context_->open_captures; }
  CpuProfileAnswer(const CpuProfileAnswer&) = delete;
  CpuProfileAnswer& operator=(const CpuProfileAnswer&) = delete;

  int64_t ready_at_ms() const override { return ready_at_ms_; }

  http::Response Finish() override {
    CpuProfileInput input;
    input.window = capture_->Collect();
    input.dropped = CountsSince(dropped_before_, context_->sources->Status().dropped);
    capture_.reset();  // the rate falls back before the slow part
    const int64_t from_ns = input.window.from_unix_ns;
    input.notes = WindowNotes(input.window, from_ns, from_ns + seconds_ * kSecondNs);
    if (context_->in_a_hurry)
      input.notes.push_back("cut short: the agent's thread has to pause for the service");
    return ProfileResponse(context_, std::move(input));
  }

 private:
  Context* const context_;
  std::unique_ptr<CpuCapture> capture_;
  const int64_t seconds_;
  const int64_t ready_at_ms_;
  const std::vector<NamedCount> dropped_before_;
};

// A parameter within its range, or what to tell the client.
struct Number {
  int64_t value = 0;
  std::string error;
};

Number TakeNumber(const http::Parameters& parameters, std::string_view name, int64_t fallback,
                  int64_t max) {
  const std::string* text = http::FindParameter(parameters, name);
  if (text == nullptr) return {fallback, {}};
  const auto value = http::ParseInteger(*text);
  if (value && *value >= 1 && *value <= max) return {*value, {}};
  return {0, std::string(name) + ": expected an integer from 1 to " + std::to_string(max) + "\n"};
}

http::Answer Refuse(int status, std::string text) {
  return {PprofError(status, std::move(text)), nullptr};
}

http::Answer AnswerPast(Context& context, const PastQuestion& question) {
  CpuProfileInput input;
  input.window = context.sources->CpuPast(question.from_ns, question.to_ns);
  const CpuWindow& window = input.window;
  if (window.to_unix_ns <= window.from_unix_ns) {
    return NothingRecorded(question, window);
  }
  // What lies in the future is not missing.
  input.notes = WindowNotes(window, question.from_ns, std::min(question.to_ns, UnixNs()));
  return {ProfileResponse(&context, std::move(input)), nullptr};
}

}  // namespace

http::Answer ServeCpuProfile(Context& context, const http::Request& request) {
  const Settings& settings = context.config->current();
  const auto parameters = http::ParseParameters(request.query);
  const PastQuestion past = TakePast(parameters, UnixNs(), kOfNow);
  if (!past.error.empty()) return Refuse(400, past.error);
  const Number seconds =
      TakeNumber(parameters, "seconds", kDefaultSeconds, settings.max_profile_ms / 1000);
  const Number hz = TakeNumber(parameters, "hz", settings.cpu_hz, kMaxHz);
  if (!seconds.error.empty() || !hz.error.empty()) return Refuse(400, seconds.error + hz.error);
  if (request.method == "HEAD") return {http::Response::Text(200, ""), nullptr};
  if (past.asked) return AnswerPast(context, past);
  if (context.open_captures >= settings.max_captures) {
    return Refuse(429, std::to_string(context.open_captures) +
                           " captures are under way, as many as SONDE_MAX_CAPTURES permits\n");
  }
  std::string error;
  auto capture = context.sources->OpenCpuCapture(static_cast<int>(hz.value), &error);
  if (capture == nullptr) return Refuse(503, "Could not enable CPU profiling: " + error + "\n");
  return {{}, std::make_unique<CpuProfileAnswer>(&context, std::move(capture), seconds.value)};
}

}  // namespace sonde
