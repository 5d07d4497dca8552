// SPDX-License-Identifier: Apache-2.0
// /debug/pprof/threadcreate, mutex and block: who made the threads that live now, who held locks
// that others waited for, and who waited. The whole, or with `seconds` what changed meanwhile, for
// which the connection is parked; of locks, with `last`, or `from` and `to`, from the recording of
// the last minutes.
#include <time.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/endpoints/contention_source.h"
#include "agent/endpoints/creators_source.h"
#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/past_question.h"
#include "agent/endpoints/stack_profile.h"
#include "agent/http/query.h"
#include "agent/http/socket.h"
#include "profile/time_text.h"

namespace sonde {
namespace {

// Reads the profile as it is now. Nothing: *error says why.
using Reader = std::optional<StackProfile> (*)(Context&, std::string* error);

int64_t UnixNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

http::Answer Refuse(int status, std::string text) {
  return {PprofError(status, std::move(text)), nullptr};
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
    response.headers.emplace_back("Content-Disposition",
                                  "attachment; filename=\"" + profile.name + "\"");
  }
  ++context->profile_downloads[profile.name];
  return response;
}

class DeltaAnswer final : public http::LongAnswer {
 public:
  DeltaAnswer(Context* context, Reader read, StackProfile before, int64_t seconds, bool text)
      : context_(context),
        read_(read),
        before_(std::move(before)),
        text_(text),
        ready_at_ms_(http::NowMs() + seconds * 1000) {
    ++context_->open_captures;
  }
  ~DeltaAnswer() override { --context_->open_captures; }
  DeltaAnswer(const DeltaAnswer&) = delete;
  DeltaAnswer& operator=(const DeltaAnswer&) = delete;

  int64_t ready_at_ms() const override { return ready_at_ms_; }

  http::Response Finish() override {
    std::string error;
    auto after = read_(*context_, &error);
    if (!after) return PprofError(503, error + ": it was switched off meanwhile\n");
    StackProfile delta = StackDelta(before_, std::move(*after));
    delta.options.duration_nanos = delta.options.time_nanos - before_.options.time_nanos;
    delta.options.time_nanos = before_.options.time_nanos;
    return Respond(context_, delta, text_);
  }

 private:
  Context* const context_;
  const Reader read_;
  const StackProfile before_;
  const bool text_;
  const int64_t ready_at_ms_;
};

constexpr const char* kOfNow[] = {"seconds"};

// The same of a part of the recording.
struct RecordedProfile {
  StackProfile profile;
  CpuWindow window;
  std::vector<std::string> notes;
};
using PastReader = RecordedProfile (*)(Context&, const PastQuestion&);

struct Question {
  int64_t seconds = 0;  // 0: what is, not what changed
  bool text = false;
  PastQuestion past;
};

// False: *error says what was expected.
bool ReadQuestion(const http::Parameters& parameters, int64_t max_seconds, Question* question,
                  std::string* error) {
  if (const std::string* text = http::FindParameter(parameters, "seconds")) {
    const auto value = http::ParseInteger(*text);
    if (!value || *value < 1 || *value > max_seconds) {
      *error = "seconds: expected an integer from 1 to " + std::to_string(max_seconds) + "\n";
      return false;
    }
    question->seconds = *value;
  }
  if (const std::string* text = http::FindParameter(parameters, "debug")) {
    if (*text != "0" && *text != "1") {
      *error = "debug: expected 0 (profile.proto) or 1 (text)\n";
      return false;
    }
    question->text = *text == "1";
  }
  question->past = TakePast(parameters, UnixNs(), kOfNow);
  *error = question->past.error;
  return error->empty();
}

http::Answer AnswerPast(Context* context, const Question& question, PastReader read) {
  RecordedProfile recorded = read(*context, question.past);
  const CpuWindow& window = recorded.window;
  if (window.to_unix_ns <= window.from_unix_ns) return NothingRecorded(question.past, window);
  // What lies in the future is not missing.
  std::vector<std::string> notes =
      WindowNotes(window, question.past.from_ns, std::min(question.past.to_ns, UnixNs()));
  notes.insert(notes.end(), recorded.notes.begin(), recorded.notes.end());
  ProfileOptions& options = recorded.profile.options;
  options.time_nanos = window.from_unix_ns;
  options.duration_nanos = window.covered_ns;
  for (const std::string& note : notes) options.comments.push_back(kWindowComment + note);
  http::Response response = Respond(context, recorded.profile, question.text);
  AddWindowHeader(window, notes, &response);
  return {std::move(response), nullptr};
}

// `read_past` null: there is no recording of this.
http::Answer Serve(Context& context, const http::Request& request, Reader read,
                   PastReader read_past) {
  const Settings& settings = context.config->current();
  Question question;
  std::string error;
  if (!ReadQuestion(http::ParseParameters(request.query), settings.max_profile_ms / 1000, &question,
                    &error)) {
    return Refuse(400, error);
  }
  if (question.past.asked && read_past == nullptr) {
    return Refuse(400, "last, from and to: expected of profiles that are recorded\n");
  }
  if (request.method == "HEAD") return {http::Response::Text(200, ""), nullptr};
  if (question.past.asked) return AnswerPast(&context, question, read_past);
  if (question.seconds > 0 && context.open_captures >= settings.max_captures) {
    return Refuse(429, std::to_string(context.open_captures) +
                           " captures are under way, as many as SONDE_MAX_CAPTURES permits\n");
  }
  auto profile = read(context, &error);
  if (!profile) return Refuse(503, error + "\n");
  if (question.seconds == 0) return {Respond(&context, *profile, question.text), nullptr};
  return {{},
          std::make_unique<DeltaAnswer>(&context, read, std::move(*profile), question.seconds,
                                        question.text)};
}

std::optional<StackProfile> ReadCreators(Context& context, std::string* error) {
  CreatorsSource* const source = context.sources->Creators();
  CreatorsSnapshot snapshot;
  if (source == nullptr) {
    *error = "this agent does not look after the stacks that make threads";
    return std::nullopt;
  }
  if (!source->Read(&snapshot, error)) return std::nullopt;
  StackProfile profile;
  profile.name = "threadcreate";
  profile.options.sample_types = {{"created", "count"}, {"threadcreate", "count"}};
  profile.options.default_sample_type = "threadcreate";
  profile.options.period_type = {"threadcreate", "count"};
  profile.options.period = 1;
  profile.options.time_nanos = UnixNs();
  profile.options.comments = {
      "threadcreate: threads that live now, by the stack that made them; created: all that were "
      "made since the collector was switched on"};
  profile.text_value = 1;
  profile.lost = std::move(snapshot.lost);
  for (CreatorSample& creator : snapshot.samples) {
    StackSample sample;
    if (creator.frames.empty()) sample.synthetic_leaf = "[unknown creator]";
    sample.frames = std::move(creator.frames);
    sample.pid = creator.pid;
    sample.values = {creator.made, creator.live};
    profile.samples.push_back(std::move(sample));
  }
  return profile;
}

StackProfile EmptyContention(const char* name) {
  StackProfile profile;
  profile.name = name;
  profile.options.sample_types = {{"contentions", "count"}, {"delay", "nanoseconds"}};
  profile.options.default_sample_type = "delay";
  profile.options.period_type = {"contentions", "count"};
  profile.options.period = 1;
  profile.options.time_nanos = UnixNs();
  profile.text_value = 1;
  return profile;
}

constexpr const char* kOpenWaits =
    "state=waiting: waits that go on, with their delay so far; one that began before locks were "
    "measured is as long as its thread has not run, and is left out when it ends";

StackSample ToStackSample(ContentionSample from) {
  StackSample sample;
  sample.frames = std::move(from.frames);
  sample.synthetic_leaf = std::move(from.lost);
  sample.pid = from.pid;
  if (!from.lock.empty()) sample.labels = {{"lock", std::move(from.lock)}};
  if (!from.open.empty()) sample.labels.emplace_back(kStateLabel, "waiting");
  sample.values = {from.contentions, from.delay_ns};
  for (const OpenPart& part : from.open) {
    sample.open.push_back({part.id, {1, part.delay_ns}, part.measured});
  }
  return sample;
}

void AddContention(ContentionSnapshot snapshot, StackProfile* profile) {
  profile->options.comments = {
      "a delay below " + std::to_string(snapshot.period_ns / 1000) +
      " us is sampled with the probability delay / period and counts for a whole period; where "
      "thousands a second are contended, the period is longer"};
  bool any_open = false;
  for (ContentionSample& from : snapshot.samples) {
    any_open = any_open || !from.open.empty();
    profile->samples.push_back(ToStackSample(std::move(from)));
  }
  if (any_open) profile->options.comments.emplace_back(kOpenWaits);
  for (std::string& note : snapshot.notes) profile->options.comments.push_back(std::move(note));
}

const char* WhyContentionIsOff(const ContentionSource* source) {
  return source != nullptr ? source->WhyOff() : "this agent does not measure locks";
}

// Off, it is an empty profile that says so: scrapers ask for these profiles of every target.
StackProfile ReadContention(Context& context, const char* name, ContentionSide side) {
  ContentionSource* const source = context.sources->Contention();
  StackProfile profile = EmptyContention(name);
  if (const char* why_off = WhyContentionIsOff(source); why_off != nullptr) {
    profile.options.comments = {std::string("off: ") + why_off};
  } else {
    AddContention(source->Read(side), &profile);
  }
  return profile;
}

// What was recorded before it was switched off is there still.
RecordedProfile ReadContentionPast(Context& context, const PastQuestion& past, const char* name,
                                   ContentionSide side) {
  ContentionSource* const source = context.sources->Contention();
  RecordedProfile recorded{EmptyContention(name), {}, {}};
  const char* why_off = WhyContentionIsOff(source);
  if (source == nullptr) {
    recorded.window.begins_late = why_off;
    return recorded;
  }
  ContentionPast read = source->ReadPast(side, past.from_ns, past.to_ns);
  recorded.window = std::move(read.window);
  const int64_t since_ns = read.counts.since_unix_ms * 1'000'000;
  if (why_off != nullptr) {
    recorded.notes.push_back(std::string("locks are not measured now: ") + why_off);
  } else if (since_ns > recorded.window.from_unix_ns) {
    recorded.notes.push_back("locks were switched on at " + FormatTime(since_ns));
  }
  const bool nothing = why_off != nullptr && read.counts.samples.empty();
  AddContention(std::move(read.counts), &recorded.profile);
  if (nothing) recorded.profile.options.comments = {std::string("off: ") + why_off};
  return recorded;
}

std::optional<StackProfile> ReadMutex(Context& context, std::string*) {
  return ReadContention(context, "mutex", ContentionSide::kHolders);
}

std::optional<StackProfile> ReadBlock(Context& context, std::string*) {
  return ReadContention(context, "block", ContentionSide::kWaiters);
}

RecordedProfile ReadMutexPast(Context& context, const PastQuestion& past) {
  return ReadContentionPast(context, past, "mutex", ContentionSide::kHolders);
}

RecordedProfile ReadBlockPast(Context& context, const PastQuestion& past) {
  return ReadContentionPast(context, past, "block", ContentionSide::kWaiters);
}

}  // namespace

http::Answer ServeMutex(Context& context, const http::Request& request) {
  return Serve(context, request, ReadMutex, ReadMutexPast);
}

http::Answer ServeBlock(Context& context, const http::Request& request) {
  return Serve(context, request, ReadBlock, ReadBlockPast);
}

http::Answer ServeThreadCreate(Context& context, const http::Request& request) {
  return Serve(context, request, ReadCreators, nullptr);
}

}  // namespace sonde
