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
#include "agent/endpoints/past_question.h"
#include "agent/endpoints/stack_profile.h"
#include "agent/endpoints/text_util.h"
#include "agent/endpoints/wall_source.h"
#include "agent/http/query.h"
#include "agent/http/socket.h"
#include "collectors/safe/region_file.h"
#include "collectors/system_calls.h"
#include "profile/time_text.h"

namespace sonde {
namespace {

constexpr int64_t kDefaultSeconds = 10;
constexpr int64_t kDefaultHz = 10;
constexpr int64_t kMaxHz = 100;
constexpr int kMaxWalls = 2;  // at the same time: each looks at all threads
constexpr int64_t kMsNs = 1'000'000;
constexpr int64_t kRecordedPeriodNs = 1'000'000'000;
constexpr const char* kOfNow[] = {"seconds", "hz"};

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
  int64_t sampled_ns = 0;
  for (const CpuSample* cpu : sampled) sampled_ns += cpu->cpu_ns;
  // Each ends where the sum up to it lies, so that all of them add up to the nanosecond.
  int64_t seen_ns = 0;
  int64_t given_ns = 0;
  for (const CpuSample* cpu : sampled) {
    StackSample sample = SampleOf(pid, tid, thread, "on-cpu");
    sample.frames = cpu->frames;
    sample.synthetic_leaf = cpu->synthetic_leaf;
    seen_ns += cpu->cpu_ns;
    const double share = static_cast<double>(seen_ns) / static_cast<double>(sampled_ns);
    const auto end_ns = static_cast<int64_t>(share * static_cast<double>(thread.on_cpu_ns));
    sample.values = {cpu->count, end_ns - given_ns};
    given_ns = end_ns;
    profile->samples.push_back(std::move(sample));
  }
  if (!sampled.empty()) return;
  StackSample sample = SampleOf(pid, tid, thread, "on-cpu");
  sample.synthetic_leaf = "[on-CPU, not sampled]";
  sample.values = {0, static_cast<int64_t>(thread.on_cpu_ns)};
  profile->samples.push_back(std::move(sample));
}

std::string Told(uint64_t rounds, size_t processes, uint64_t agent_cpu_ns, double seconds) {
  return "looked " + std::to_string(rounds) + " times in " + DurationText(seconds) +
         " at all threads of " + std::to_string(processes) +
         (processes == 1 ? " process" : " processes") + ", with " +
         std::to_string(agent_cpu_ns / static_cast<uint64_t>(kMsNs)) +
         " ms of the agent's CPU time";
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

StackProfile EmptyWall(int64_t period_ns, int64_t begin_unix_ns, int64_t duration_ns) {
  StackProfile profile;
  profile.name = "wall";
  profile.options.sample_types = {{"samples", "count"}, {"wall", "nanoseconds"}};
  profile.options.default_sample_type = "wall";
  profile.options.period_type = {"wall", "nanoseconds"};
  profile.options.period = period_ns;
  profile.options.time_nanos = begin_unix_ns;
  profile.options.duration_nanos = duration_ns;
  profile.text_value = 1;
  return profile;
}

StackProfile WallAnswer::Profile() {
  const std::vector<WallProcess> processes = wall_->Finish(MonotonicNs());
  std::map<std::pair<int, int>, std::vector<const CpuSample*>> sampled;
  const CpuWindow window = cpu_ != nullptr ? cpu_->Collect() : CpuWindow{};
  for (const CpuSample& sample : window.samples) {
    if (sample.cpu_ns > 0) sampled[{sample.pid, sample.tid}].push_back(&sample);
  }
  StackProfile profile = EmptyWall(period_ns_, begin_unix_ns_, UnixNs() - begin_unix_ns_);
  size_t seen = 0;
  for (const auto& [pid, wall] : processes) {
    seen += wall->threads().empty() ? 0 : 1;
    for (const auto& [tid, thread] : wall->threads()) {
      AddRunning(pid, tid, thread, sampled[{pid, tid}], &profile);
      AddWaits(pid, tid, thread, &profile);
    }
  }
  const double seconds = static_cast<double>(http::NowMs() - begin_ms_) / 1000;
  profile.options.comments = wall_->NotLookedAt();
  profile.options.comments.insert(
      profile.options.comments.begin(),
      Told(processes.front().wall->rounds(), seen, wall_->agent_cpu_ns(), seconds));
  return profile;
}

http::Response Respond(Context* context, const StackProfile& profile, bool text) {
  http::Response response;
  if (text) {
    response.body = StackText(profile, context);
    response.content_type = "text/plain; charset=utf-8";
  } else {
    Symbolizer* symbols = context->in_a_hurry ? nullptr : &context->Symbols();
    response.body = BuildStackProfile(profile, context->sources, symbols);
    response.content_type = "application/octet-stream";
    response.headers.emplace_back("Content-Disposition", "attachment; filename=\"wall\"");
  }
  ++context->profile_downloads["wall"];
  return response;
}

http::Response WallAnswer::Finish() {
  const StackProfile profile = Profile();
  cpu_.reset();
  return Respond(context_, profile, text_);
}

StackSample RecordedSample(int pid, int tid, const std::string& name, const char* state) {
  WallThread thread;
  thread.name = name;
  return SampleOf(pid, tid, thread, state);
}

// What ran is known by samples of CPU time, what waited by a look a second.
void AddRecorded(WallPast past, const CpuWindow& cpu, StackProfile* profile) {
  for (const CpuSample& from : cpu.samples) {
    if (from.cpu_ns <= 0) continue;
    StackSample sample = RecordedSample(from.pid, from.tid, from.thread_name, "on-cpu");
    sample.frames = from.frames;
    sample.synthetic_leaf = from.synthetic_leaf;
    sample.values = {from.count, from.cpu_ns};
    profile->samples.push_back(std::move(sample));
  }
  for (WallPastSample& from : past.samples) {
    StackSample sample = RecordedSample(from.pid, from.tid, from.thread_name, "off-cpu");
    sample.frames = std::move(from.frames);
    sample.synthetic_leaf = std::move(from.synthetic_leaf);
    if (from.number >= 0) sample.labels.emplace_back("system_call", SystemCallName(from.number));
    sample.values = {from.looks, from.ns};
    profile->samples.push_back(std::move(sample));
  }
}

// Whether waiting is recorded, and since when.
void NoteRecording(const WallSource& source, const WallPast& past,
                   std::vector<std::string>* notes) {
  const char* why_off = source.WhyNotRecorded();
  const int64_t since_ns = past.since_unix_ms * 1'000'000;
  if (why_off != nullptr) {
    notes->push_back(std::string("waiting is not recorded now: ") + why_off);
  } else if (since_ns > past.window.from_unix_ns) {
    notes->push_back("waiting is recorded since " + FormatTime(since_ns));
  }
}

http::Answer AnswerPast(Context* context, const PastQuestion& question, bool text) {
  WallSource* const source = context->sources->Wall();
  WallPast past = source->ReadPast(question.from_ns, question.to_ns);
  const CpuWindow window = past.window;
  if (window.to_unix_ns <= window.from_unix_ns) return NothingRecorded(question, window);
  // What lies in the future is not missing.
  std::vector<std::string> notes =
      WindowNotes(window, question.from_ns, std::min(question.to_ns, UnixNs()));
  NoteRecording(*source, past, &notes);
  StackProfile profile = EmptyWall(kRecordedPeriodNs, window.from_unix_ns, window.covered_ns);
  const char* why_off = source->WhyNotRecorded();
  if (why_off != nullptr && past.samples.empty()) {
    profile.options.comments = {std::string("off: ") + why_off};
  } else {
    const CpuWindow cpu = context->sources->CpuPast(question.from_ns, question.to_ns);
    AddRecorded(std::move(past), cpu, &profile);
    profile.options.comments = {
        "on-cpu: by the samples of CPU time; off-cpu: by a look a second at all threads, of child "
        "processes as far as the kernel permits"};
  }
  for (const std::string& note : notes) profile.options.comments.push_back(kWindowComment + note);
  http::Response response = Respond(context, profile, text);
  AddWindowHeader(window, notes, &response);
  return {std::move(response), nullptr};
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
  const PastQuestion past = TakePast(parameters, UnixNs(), kOfNow);
  if (!past.error.empty()) return Refuse(400, past.error);
  if (request.method == "HEAD") return {http::Response::Text(200, ""), nullptr};
  if (context.sources->Wall() == nullptr) {
    return Refuse(503, "Threads cannot be looked at by this agent now\n");
  }
  const bool text = debug != nullptr && *debug == "1";
  if (past.asked) return AnswerPast(&context, past, text);
  if (context.open_captures >= settings.max_captures || context.open_walls >= kMaxWalls) {
    return Refuse(429, "as many captures are under way as may be: " + std::to_string(kMaxWalls) +
                           " of wall time, SONDE_MAX_CAPTURES in all\n");
  }
  return {{}, std::make_unique<WallAnswer>(&context, *seconds, *hz, text)};
}

}  // namespace sonde
