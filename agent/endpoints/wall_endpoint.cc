// SPDX-License-Identifier: Apache-2.0
// /debug/pprof/wall: where the time of every thread goes, running and waiting. The connection is
// parked while threads are looked at, a few times a second.
//
// How long each thread was on a CPU is exact; at which stacks is told by the CPU samples of that
// time, scaled to it. So the values of a thread add up to the time that it was there.
#include <time.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/stack_profile.h"
#include "agent/endpoints/text_util.h"
#include "agent/endpoints/wall_source.h"
#include "agent/http/query.h"
#include "agent/http/socket.h"
#include "collectors/safe/region_file.h"
#include "collectors/system_calls.h"

namespace sonde {
namespace {

constexpr int64_t kDefaultSeconds = 10;
constexpr int64_t kDefaultHz = 10;
constexpr int64_t kMaxHz = 100;
constexpr int kMaxWalls = 2;  // at the same time: each looks at all threads
constexpr int64_t kMsNs = 1'000'000;

int64_t UnixNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

StackSample SampleOf(int pid, int tid, const WallThread& thread, const char* state) {
  StackSample sample;
  sample.leaf_is_return_address = false;
  sample.pid = pid;
  sample.tid = tid;
  sample.labels = {{"state", state}};
  if (!thread.name.empty()) sample.labels.emplace_back("thread", ValidUtf8(thread.name));
  return sample;
}

void AddWaits(int pid, int tid, const WallThread& thread, StackProfile* profile) {
  for (const auto& [place, wait] : thread.waits) {
    StackSample sample = SampleOf(pid, tid, thread, "off-cpu");
    sample.frames = place.second;
    if (place.second.empty()) sample.synthetic_leaf = "[stack cannot be read]";
    sample.labels.emplace_back("system_call",
                               place.first >= 0 ? SystemCallName(place.first) : "page fault");
    sample.values = {static_cast<int64_t>(wait.looks), static_cast<int64_t>(wait.ns)};
    profile->samples.push_back(std::move(sample));
  }
  if (thread.unseen_ns == 0) return;
  StackSample sample = SampleOf(pid, tid, thread, "off-cpu");
  sample.synthetic_leaf = "[off-CPU: waits for a CPU, or at a stack that was not seen]";
  sample.values = {0, static_cast<int64_t>(thread.unseen_ns)};
  profile->samples.push_back(std::move(sample));
}

// `sampled` are the CPU samples of this thread; they are scaled to its exact CPU time.
void AddRunning(int pid, int tid, const WallThread& thread,
                const std::vector<const CpuSample*>& sampled, StackProfile* profile) {
  if (thread.on_cpu_ns == 0) return;
  double sampled_ns = 0;
  for (const CpuSample* cpu : sampled) sampled_ns += static_cast<double>(cpu->cpu_ns);
  for (const CpuSample* cpu : sampled) {
    StackSample sample = SampleOf(pid, tid, thread, "on-cpu");
    sample.frames = cpu->frames;
    sample.synthetic_leaf = cpu->synthetic_leaf;
    const double share = static_cast<double>(cpu->cpu_ns) / sampled_ns;
    sample.values = {cpu->count,
                     static_cast<int64_t>(share * static_cast<double>(thread.on_cpu_ns))};
    profile->samples.push_back(std::move(sample));
  }
  if (!sampled.empty()) return;
  StackSample sample = SampleOf(pid, tid, thread, "on-cpu");
  sample.synthetic_leaf = "[on-CPU, not sampled]";
  sample.values = {0, static_cast<int64_t>(thread.on_cpu_ns)};
  profile->samples.push_back(std::move(sample));
}

std::string Told(const Wall& wall, double seconds) {
  return "looked " + std::to_string(wall.rounds()) + " times in " + DurationText(seconds) +
         " at all threads, with " +
         std::to_string(wall.agent_cpu_ns() / static_cast<uint64_t>(kMsNs)) +
         " ms of the agent's CPU time; child processes are not looked at";
}

class WallAnswer final : public http::LongAnswer {
 public:
  WallAnswer(Context* context, int64_t seconds, int64_t hz, bool text)
      : context_(context),
        wall_(context->sources->Wall()->OpenWall(static_cast<uint64_t>(1'000'000'000 / hz))),
        text_(text),
        period_ns_(1'000'000'000 / hz),
        begin_unix_ns_(UnixNs()),
        begin_ms_(http::NowMs()),
        end_ms_(begin_ms_ + seconds * 1000) {
    std::string why_not;
    const auto rate_hz = static_cast<int>(context->config->current().cpu_hz);
    cpu_ = context->sources->OpenCpuCapture(rate_hz, &why_not);
    ++context_->open_captures;
    ++context_->open_walls;
  }
  ~WallAnswer() override {
    --context_->open_captures;
    --context_->open_walls;
  }
  WallAnswer(const WallAnswer&) = delete;
  WallAnswer& operator=(const WallAnswer&) = delete;

  // Asked whenever the server decides how long to sleep.
  int64_t ready_at_ms() const override {
    const int64_t now_ms = http::NowMs();
    if (now_ms >= end_ms_) return end_ms_;
    if (now_ms >= next_ms_) {
      const uint64_t now_ns = MonotonicNs();
      const uint64_t pause_ns = wall_->Observe(now_ns) - now_ns;
      next_ms_ = now_ms + static_cast<int64_t>(pause_ns) / kMsNs + 1;
    }
    return std::min(next_ms_, end_ms_);
  }

  http::Response Finish() override;

 private:
  [[nodiscard]] StackProfile Profile();

  Context* const context_;
  const std::unique_ptr<WallCapture> wall_;
  std::unique_ptr<CpuCapture> cpu_;
  const bool text_;
  const int64_t period_ns_;
  const int64_t begin_unix_ns_;
  const int64_t begin_ms_;
  const int64_t end_ms_;
  mutable int64_t next_ms_ = 0;
};

StackProfile WallAnswer::Profile() {
  const Wall& wall = wall_->Finish(MonotonicNs());
  std::map<int, std::vector<const CpuSample*>> sampled;
  const CpuWindow window = cpu_ != nullptr ? cpu_->Collect() : CpuWindow{};
  const int pid = context_->sources->Status().pid;
  for (const CpuSample& sample : window.samples) {
    if (sample.pid == pid && sample.cpu_ns > 0) sampled[sample.tid].push_back(&sample);
  }
  StackProfile profile;
  profile.name = "wall";
  profile.options.sample_types = {{"samples", "count"}, {"wall", "nanoseconds"}};
  profile.options.default_sample_type = "wall";
  profile.options.period_type = {"wall", "nanoseconds"};
  profile.options.period = period_ns_;
  profile.options.time_nanos = begin_unix_ns_;
  profile.options.duration_nanos = UnixNs() - begin_unix_ns_;
  profile.text_value = 1;
  profile.options.comments = {Told(wall, static_cast<double>(http::NowMs() - begin_ms_) / 1000)};
  for (const auto& [tid, thread] : wall.threads()) {
    AddRunning(pid, tid, thread, sampled[tid], &profile);
    AddWaits(pid, tid, thread, &profile);
  }
  return profile;
}

http::Response WallAnswer::Finish() {
  const StackProfile profile = Profile();
  cpu_.reset();
  http::Response response;
  if (text_) {
    response.body = StackText(profile, context_);
    response.content_type = "text/plain; charset=utf-8";
  } else {
    Symbolizer* symbols = context_->in_a_hurry ? nullptr : &context_->Symbols();
    response.body = BuildStackProfile(profile, context_->sources, symbols);
    response.content_type = "application/octet-stream";
    response.headers.emplace_back("Content-Disposition", "attachment; filename=\"wall\"");
  }
  ++context_->profile_downloads["wall"];
  return response;
}

// A parameter within its range; nothing: *error says what was expected.
std::optional<int64_t> TakeNumber(const http::Parameters& parameters, std::string_view name,
                                  int64_t fallback, int64_t max, std::string* error) {
  const std::string* text = http::FindParameter(parameters, name);
  if (text == nullptr) return std::min(fallback, max);
  const auto value = http::ParseInteger(*text);
  if (value && *value >= 1 && *value <= max) return *value;
  *error = std::string(name) + ": expected an integer from 1 to " + std::to_string(max) + "\n";
  return std::nullopt;
}

http::Answer Refuse(int status, std::string text) {
  return {PprofError(status, std::move(text)), nullptr};
}

}  // namespace

http::Answer ServeWall(Context& context, const http::Request& request) {
  const Settings& settings = context.config->current();
  const auto parameters = http::ParseParameters(request.query);
  std::string error;
  const auto seconds =
      TakeNumber(parameters, "seconds", kDefaultSeconds, settings.max_profile_ms / 1000, &error);
  if (!seconds) return Refuse(400, error);
  const auto hz = TakeNumber(parameters, "hz", kDefaultHz, kMaxHz, &error);
  if (!hz) return Refuse(400, error);
  const std::string* debug = http::FindParameter(parameters, "debug");
  if (debug != nullptr && *debug != "0" && *debug != "1") {
    return Refuse(400, "debug: expected 0 (profile.proto) or 1 (text)\n");
  }
  if (request.method == "HEAD") return {http::Response::Text(200, ""), nullptr};
  if (context.sources->Wall() == nullptr) {
    return Refuse(503, "Threads cannot be looked at by this agent now\n");
  }
  if (context.open_captures >= settings.max_captures || context.open_walls >= kMaxWalls) {
    return Refuse(429, "as many captures are under way as may be: " + std::to_string(kMaxWalls) +
                           " of wall time, SONDE_MAX_CAPTURES in all\n");
  }
  const bool text = debug != nullptr && *debug == "1";
  return {{}, std::make_unique<WallAnswer>(&context, *seconds, *hz, text)};
}

}  // namespace sonde
