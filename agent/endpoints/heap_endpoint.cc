// SPDX-License-Identifier: Apache-2.0
// /debug/pprof/heap and allocs: what is live, what was allocated. At once, or, with `seconds`, what
// changed meanwhile; then the connection is parked, and any number of readers overlap.
#include <time.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/config/schema.h"
#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/heap_profile.h"
#include "agent/endpoints/heap_source.h"
#include "agent/http/query.h"
#include "agent/http/socket.h"

namespace sonde {
namespace {

constexpr int64_t kMaxLastMs = 24 * 3600 * 1000;

int64_t UnixNs() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

// Which of the two profiles, and what of it.
struct HeapRequest {
  const char* name = "heap";
  const char* default_type = "inuse_space";
  HeapQuery query;
  int64_t seconds = 0;
  bool text = false;  // debug=1
};

http::Answer Refuse(int status, std::string text) {
  return {PprofError(status, std::move(text)), nullptr};
}

// What nobody knows of is not more than that.
std::string BeforeText(const HeapSnapshot& snapshot) {
  if (snapshot.anonymous_before_bytes == 0) return "unknown";
  return "unknown, at most " + std::to_string(snapshot.anonymous_before_bytes >> 10) +
         " KiB: all anonymous memory then";
}

std::string SinceComment(const HeapSnapshot& snapshot) {
  return "sonde: heap sampled every " + std::to_string(snapshot.interval_bytes) +
         " bytes on average, for the last " +
         std::to_string((UnixNs() / 1000000 - snapshot.since_unix_ms) / 1000) +
         " s; blocks from before are " + BeforeText(snapshot) + "; what is in use rests on " +
         std::to_string(snapshot.live_samples) + " samples" +
         (snapshot.mapping_samples == 0
              ? ""
              : " and " + std::to_string(snapshot.mapping_samples) +
                    " mappings of the service's own, under [mmap], touched or not");
}

http::Response Respond(Context* context, const HeapRequest& request, HeapProfileInput input) {
  ++context->profile_downloads[request.name];
  if (request.text) return http::Response::Text(200, HeapText(input.snapshot, context->sources));
  input.default_type = request.default_type;
  input.comments.push_back(SinceComment(input.snapshot));
  if (request.query.min_age_ms > 0) {
    input.comments.push_back("only blocks that are at least " +
                             std::to_string(request.query.min_age_ms / 1000) + " s old");
  }
  for (const std::string& note : input.snapshot.notes) input.comments.push_back("sonde: " + note);
  http::Response response;
  response.body = BuildHeapProfile(input, context->sources, &context->Symbols());
  response.content_type = "application/octet-stream";
  response.headers.emplace_back("Content-Disposition",
                                std::string("attachment; filename=\"") + request.name + "\"");
  return response;
}

class HeapDeltaAnswer final : public http::LongAnswer {
 public:
  HeapDeltaAnswer(Context* context, const HeapRequest& request, HeapSnapshot before)
      : context_(context),
        request_(request),
        before_(std::move(before)),
        begin_ms_(http::NowMs()),
        begin_unix_ns_(UnixNs()) {
    ++context_->open_captures;
  }
  ~HeapDeltaAnswer() override { --context_->open_captures; }
  HeapDeltaAnswer(const HeapDeltaAnswer&) = delete;
  HeapDeltaAnswer& operator=(const HeapDeltaAnswer&) = delete;

  int64_t ready_at_ms() const override { return begin_ms_ + request_.seconds * 1000; }

  http::Response Finish() override {
    HeapSnapshot after;
    std::string error;
    if (!context_->sources->Heap().Read(request_.query, &after, &error)) {
      return PprofError(503, error + "\n");
    }
    if (after.since_unix_ms > before_.since_unix_ms + kClockSlackMs) {
      return PprofError(503, "heap sampling was switched off and on again meanwhile\n");
    }
    HeapProfileInput input;
    input.snapshot = HeapDelta(before_, std::move(after));
    input.begin_unix_ns = begin_unix_ns_;
    input.duration_ns = (http::NowMs() - begin_ms_) * 1000000;
    return Respond(context_, request_, std::move(input));
  }

 private:
  static constexpr int64_t kClockSlackMs = 500;
  Context* const context_;
  const HeapRequest request_;
  const HeapSnapshot before_;
  const int64_t begin_ms_;
  const int64_t begin_unix_ns_;
};

// An age as it is written: 90 (seconds), 90s, 10m, 2h, 1d.
std::optional<int64_t> ParseAgeMs(std::string_view text) {
  int64_t unit_ms = 1000;
  if (!text.empty()) {
    const char last = text.back();
    if (last == 'm') unit_ms *= 60;
    if (last == 'h') unit_ms *= 3600;
    if (last == 'd') unit_ms *= 86400;
    if (last == 's' || last == 'm' || last == 'h' || last == 'd') text.remove_suffix(1);
  }
  constexpr int64_t kMaxSeconds = 400 * int64_t{86400};
  const auto number = http::ParseInteger(text);
  if (!number || *number < 0 || *number > kMaxSeconds * 1000 / unit_ms) return std::nullopt;
  return *number * unit_ms;
}

// Of how much and of when: each of these is an answer of its own.
bool AsksOneThing(const HeapRequest& request, std::string* error) {
  const HeapQuery& query = request.query;
  if ((request.seconds > 0) + (query.last_ms > 0) + query.peak > 1) {
    *error = "expected one of seconds, last and peak\n";
  } else if (query.peak && query.min_age_ms > 0) {
    *error = "peak: expected no age beside it\n";
  } else if (query.peak && std::string_view(request.name) != "heap") {
    *error = "peak: expected of /debug/pprof/heap only: it tells nothing of allocations\n";
  }
  return error->empty();
}

// False: *error says what was expected.
bool ReadParameters(const http::Parameters& parameters, int64_t max_seconds, HeapRequest* request,
                    std::string* error) {
  if (const std::string* text = http::FindParameter(parameters, "seconds")) {
    const auto value = http::ParseInteger(*text);
    if (!value || *value < 1 || *value > max_seconds) {
      *error = "seconds: expected an integer from 1 to " + std::to_string(max_seconds) + "\n";
      return false;
    }
    request->seconds = *value;
  }
  if (const std::string* text = http::FindParameter(parameters, "debug")) {
    if (*text != "0" && *text != "1") {
      *error = "debug: expected 0 (profile.proto) or 1 (text)\n";
      return false;
    }
    request->text = *text == "1";
  }
  if (const std::string* text = http::FindParameter(parameters, "age")) {
    const auto age_ms = ParseAgeMs(*text);
    if (!age_ms) {
      *error = "age: expected a time such as 90s, 10m or 2h, at most 400d\n";
      return false;
    }
    request->query.min_age_ms = *age_ms;
  }
  if (const std::string* text = http::FindParameter(parameters, "last")) {
    const auto last_ms = ParseDuration(*text, 1000, kMaxLastMs);
    if (!last_ms) {
      *error = "last: expected a duration from 1s to 24h, as 30s, 5m or 1h\n";
      return false;
    }
    request->query.last_ms = *last_ms;
  }
  if (const std::string* text = http::FindParameter(parameters, "peak")) {
    if (*text != "0" && *text != "1") {
      *error = "peak: expected 1 (what was in use when that was most) or 0\n";
      return false;
    }
    request->query.peak = *text == "1";
  }
  const HeapQuery& query = request->query;
  request->query.allocators = query.min_age_ms == 0 && query.last_ms == 0 && !query.peak;
  return AsksOneThing(*request, error);
}

http::Answer Serve(Context& context, const http::Request& http_request, HeapRequest request) {
  const Settings& settings = context.config->current();
  const auto parameters = http::ParseParameters(http_request.query);
  std::string error;
  if (!ReadParameters(parameters, settings.max_profile_ms / 1000, &request, &error)) {
    return Refuse(400, error);
  }
  if (http_request.method == "HEAD") return {http::Response::Text(200, ""), nullptr};
  if (request.seconds > 0 && context.open_captures >= settings.max_captures) {
    return Refuse(429, std::to_string(context.open_captures) +
                           " captures are under way, as many as SONDE_MAX_CAPTURES permits\n");
  }
  HeapSnapshot snapshot;
  if (!context.sources->Heap().Read(request.query, &snapshot, &error)) {
    return Refuse(503, error + "\n");
  }
  if (request.seconds > 0) {
    return {{}, std::make_unique<HeapDeltaAnswer>(&context, request, std::move(snapshot))};
  }
  HeapProfileInput input;
  input.snapshot = std::move(snapshot);
  input.begin_unix_ns = UnixNs();
  return {Respond(&context, request, std::move(input)), nullptr};
}

}  // namespace

http::Answer ServeHeapProfile(Context& context, const http::Request& request) {
  return Serve(context, request, {});
}

http::Answer ServeAllocsProfile(Context& context, const http::Request& request) {
  return Serve(context, request, {"allocs", "alloc_space", {}, 0, false});
}

}  // namespace sonde
