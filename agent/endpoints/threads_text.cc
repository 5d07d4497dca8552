// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/threads_text.h"

#include <time.h>

#include "agent/endpoints/cpu_profile.h"
#include "agent/endpoints/creators_source.h"
#include "agent/endpoints/frame_names.h"
#include "agent/endpoints/report_writer.h"
#include "agent/endpoints/text_util.h"
#include "profile/profile_builder.h"
#include "threads/thread_groups.h"
#include "threads/thread_wait.h"

namespace sonde {
namespace {

constexpr size_t kFramesThatTell = 8;  // of a wait
constexpr double kTicksPerSecond = 100;

double SecondsOf(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Everything that one answer needs to put a dump into words.
class Teller {
 public:
  Teller(Context* context, const ThreadDump& dump)
      : names_(context, dump.pid()),
        waits_(dump.threads(), &dump.files(), dump.memory(), dump.pid()),
        creators_(dump.pid() == 0 ? context->sources->Creators() : nullptr) {
    for (const ThreadRecord& thread : dump.threads()) names_.Announce(thread.frames);
    names_.ReadPerfMap();
  }

  FrameNames& names() { return names_; }
  std::string Wait(const ThreadRecord& thread) {
    return ValidUtf8(waits_.Describe(thread, names_.Functions(thread.frames, kFramesThatTell)));
  }
  // Return addresses of the stack that made it; empty: not known.
  [[nodiscard]] std::vector<uint64_t> Creator(const ThreadRecord& thread) const {
    return creators_ != nullptr ? creators_->CreatorOf(thread.tid) : std::vector<uint64_t>{};
  }
  [[nodiscard]] double Age(const ThreadRecord& thread) const {
    return up_seconds_ - static_cast<double>(thread.start_ticks) / kTicksPerSecond;
  }

 private:
  FrameNames names_;
  ThreadWaits waits_;
  CreatorsSource* const creators_;
  const double up_seconds_ = SecondsOf(CLOCK_BOOTTIME);
};

void AppendFrames(const ThreadRecord& thread, Teller* teller, std::string* out) {
  for (size_t i = 0; i < thread.frames.size(); ++i) {
    if (i == thread.inferred_from) *out += "\t(inferred from here on: rbp was recovered)\n";
    const NamedFrame& frame = teller->names().Of(InstructionOf(thread.frames, i));
    *out += "#" + std::to_string(i) + "\t" + HexText(thread.frames[i]) + "\t" + frame.text;
    if (!frame.function.empty()) *out += "\t" + ValidUtf8(frame.module);
    *out += "\n";
  }
  const std::string note = StackNote(thread);
  if (!note.empty()) *out += "\t(" + note + ")\n";
  if (!thread.problem.empty()) *out += "\t(" + thread.problem + ")\n";
}

void AppendCreator(const ThreadRecord& thread, Teller* teller, std::string* out) {
  const std::vector<uint64_t> frames = teller->Creator(thread);
  if (!frames.empty()) *out += "created by\n";
  for (const uint64_t frame : frames) {
    const NamedFrame& named = teller->names().Of(frame - 1);
    *out += "\t" + HexText(frame) + "\t" + named.text + "\t" + ValidUtf8(named.module) + "\n";
  }
}

void WriteCreator(const ThreadRecord& thread, Teller* teller, ReportWriter* out) {
  const std::vector<uint64_t> frames = teller->Creator(thread);
  if (frames.empty()) return;
  out->BeginArray("created_by");
  for (const uint64_t frame : frames) {
    const NamedFrame& named = teller->names().Of(frame - 1);
    out->BeginObject("");
    out->Add("address", HexText(frame));
    out->Add("function", named.function);
    out->Add("module", named.module);
    out->Add("text", named.text);
    out->EndObject();
  }
  out->EndArray();
}

void WriteFrames(const ThreadRecord& thread, Teller* teller, ReportWriter* out) {
  out->BeginArray("frames");
  for (size_t i = 0; i < thread.frames.size(); ++i) {
    const NamedFrame& frame = teller->names().Of(InstructionOf(thread.frames, i));
    out->BeginObject("");
    out->Add("address", HexText(thread.frames[i]));
    out->Add("function", frame.function);
    out->Add("module", frame.module);
    out->Add("text", frame.text);
    if (i >= thread.inferred_from) out->Add("inferred", true);
    out->EndObject();
  }
  out->EndArray();
}

void WriteThread(const ThreadRecord& thread, Teller* teller, ReportWriter* out) {
  out->BeginObject("");
  out->Add("tid", thread.tid);
  out->Add("name", thread.name);
  out->Add("wait", teller->Wait(thread));
  if (thread.waits_ns >= 0) out->Add("wait_seconds", static_cast<double>(thread.waits_ns) / 1e9);
  out->Add("cpu_seconds", static_cast<double>(thread.cpu_ns) / 1e9);
  out->Add("age_seconds", teller->Age(thread));
  WriteCreator(thread, teller, out);
  out->EndObject();
}

void WriteGroup(const ThreadGroup& group, Teller* teller, ReportWriter* out) {
  const ThreadRecord& first = group.first();
  out->BeginObject("");
  out->Add("count", group.threads.size());
  out->Add("state", StateName(first));
  out->Add("place", PlaceName(first));
  out->Add("stack", SourceName(first.source));
  out->Add("note", StackNote(first));
  out->Add("problem", first.problem);
  WriteFrames(first, teller, out);
  out->BeginArray("threads");
  for (const ThreadRecord* thread : group.threads) WriteThread(*thread, teller, out);
  out->EndArray();
  out->EndObject();
}

std::string Heading(const ThreadRecord& thread, Teller* teller) {
  std::string text = StateName(thread);
  if (const std::string place = PlaceName(thread); !place.empty()) text += ", " + place;
  if (const std::string wait = teller->Wait(thread); !wait.empty()) text += ", " + wait;
  if (thread.waits_ns >= 0) {
    text += ", for " + DurationText(static_cast<double>(thread.waits_ns) / 1e9);
  }
  return text;
}

void AddToProfile(const ThreadRecord& thread, ProfileBuilder* builder) {
  const std::string name = ValidUtf8(thread.name);
  const std::string state = StateName(thread);
  const std::string place = PlaceName(thread);
  std::vector<SampleLabel> labels = {{.key = "state", .text = state, .unit = {}}};
  if (!name.empty()) labels.push_back({.key = "thread", .text = name, .unit = {}});
  if (!place.empty()) labels.push_back({.key = "system_call", .text = place, .unit = {}});
  const std::string missing = "[" + thread.problem + "]";
  const std::string note = "[" + StackNote(thread) + "]";
  const std::string_view leaf[] = {missing};
  const std::string_view root[] = {note};
  const int64_t one[] = {1};
  SampleInput input;
  input.frames = thread.frames;
  if (thread.frames.empty()) input.leaf_names = leaf;
  if (note.size() > 2) input.root_names = root;
  input.values = one;
  input.labels = labels;
  if (!builder->AddSample(input)) builder->AddComment("a thread was left out by the builder");
}

}  // namespace

std::string GroupedThreadsText(Context* context, const ThreadDump& dump) {
  Teller teller(context, dump);
  std::string out = "threads profile: total " + std::to_string(dump.threads().size()) + "\n";
  for (const ThreadGroup& group : GroupThreads(dump.threads())) {
    const ThreadRecord& first = group.first();
    out += std::to_string(group.threads.size()) + " @";
    for (const uint64_t frame : first.frames) out += " " + HexText(frame);
    out += "\n# " + Heading(first, &teller) + "\n# tids";
    for (const ThreadRecord* thread : group.threads) {
      out += " " + std::to_string(thread->tid) + "(" + ValidUtf8(thread->name) + ")";
    }
    out += "\n";
    AppendFrames(first, &teller, &out);
    out += "\n";
  }
  return out;
}

std::string ThreadsText(Context* context, const ThreadDump& dump) {
  Teller teller(context, dump);
  std::string out;
  for (const ThreadRecord& thread : dump.threads()) {
    out += "thread " + std::to_string(thread.tid) + " \"" + ValidUtf8(thread.name) + "\" [" +
           Heading(thread, &teller) + "]: CPU " +
           DurationText(static_cast<double>(thread.cpu_ns) / 1e9) + ", age " +
           DurationText(teller.Age(thread)) + "\n";
    AppendFrames(thread, &teller, &out);
    AppendCreator(thread, &teller, &out);
    out += "\n";
  }
  return out;
}

std::string ThreadsJson(Context* context, const ThreadDump& dump) {
  Teller teller(context, dump);
  JsonWriter out;
  out.BeginObject("");
  const AgentStatus status = context->sources->Status();
  out.Add("version", status.version);
  const int pid = dump.pid() != 0 ? dump.pid() : status.pid;
  out.Add("pid", pid);
  out.Add("agent_pid", status.pid);
  out.Add("executable", status.executable);
  out.Add("now_unix_ms", static_cast<int64_t>(SecondsOf(CLOCK_REALTIME) * 1000));
  out.Add("threads", dump.threads().size());
  out.Add("agent_cpu_ms", static_cast<double>(dump.agent_cpu_ns()) / 1e6);
  out.BeginArray("groups");
  for (const ThreadGroup& group : GroupThreads(dump.threads())) WriteGroup(group, &teller, &out);
  out.EndArray();
  out.EndObject();
  return out.Take();
}

std::string ThreadsProfile(Context* context, const ThreadDump& dump) {
  const AgentStatus status = context->sources->Status();
  ProfileOptions options;
  options.sample_types = {{"threads", "count"}};
  options.default_sample_type = "threads";
  options.period_type = {"threads", "count"};
  options.period = 1;
  options.time_nanos = static_cast<int64_t>(SecondsOf(CLOCK_REALTIME) * 1e9);
  ProfileBuilder builder(options);
  const int pid = dump.pid() != 0 ? dump.pid() : status.pid;
  builder.SetMappings(MappingsOf(pid, status, context->sources));
  builder.AddComment("sonde " + status.version + ": where every thread stands, each counted once");
  for (const ThreadRecord& thread : dump.threads()) AddToProfile(thread, &builder);
  return builder.Finish(&context->Symbols());
}

}  // namespace sonde
