// SPDX-License-Identifier: Apache-2.0
// /debug/sonde/findings: what the detectors found, worst first.
#include <time.h>

#include <map>
#include <memory>
#include <string>

#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/finding_functions.h"
#include "agent/endpoints/findings_source.h"
#include "agent/endpoints/frame_names.h"
#include "agent/endpoints/report_answer.h"
#include "agent/endpoints/report_writer.h"
#include "agent/endpoints/text_util.h"
#include "collectors/safe/region_file.h"

namespace sonde {
namespace {

class Clock {
 public:
  Clock() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    unix_ms_ = now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
  }
  [[nodiscard]] int64_t now_unix_ms() const { return unix_ms_; }
  [[nodiscard]] uint64_t now_ns() const { return now_ns_; }
  [[nodiscard]] int64_t UnixMs(uint64_t monotonic_ns) const {
    return unix_ms_ -
           (static_cast<int64_t>(now_ns_) - static_cast<int64_t>(monotonic_ns)) / 1'000'000;
  }

 private:
  const uint64_t now_ns_ = MonotonicNs();
  int64_t unix_ms_;
};

// Each process's frames by its own mappings.
class Names {
 public:
  Names(Context* context, const FindingsSource* source) : context_(context), source_(source) {}
  FrameNames* Of(const Finding& finding) {
    std::unique_ptr<FrameNames>& names = by_pid_[finding.pid];
    if (names == nullptr) {
      names = std::make_unique<FrameNames>(context_, finding.pid, source_->MappingsOf(finding.pid));
    }
    for (const FindingStack& stack : finding.stacks) names->Announce(stack.frames);
    for (const FindingFunction& function : finding.functions) names->Announce({function.pc});
    names->ReadPerfMap();
    return names.get();
  }

 private:
  Context* const context_;
  const FindingsSource* const source_;
  std::map<int, std::unique_ptr<FrameNames>> by_pid_;
};

double SecondsOf(const Finding& finding, const Clock& clock) {
  const uint64_t end_ns = finding.until_ns != 0 ? finding.until_ns : clock.now_ns();
  return end_ns > finding.since_ns ? static_cast<double>(end_ns - finding.since_ns) / 1e9 : 0;
}

void WriteStack(const FindingStack& stack, FrameNames* names, ReportWriter* out) {
  out->BeginObject("");
  out->Add("title", stack.title);
  if (stack.share >= 0) out->Add("share", stack.share);
  out->BeginArray("frames");
  if (!stack.synthetic_leaf.empty()) {
    out->BeginObject("");
    out->Add("function", stack.synthetic_leaf);
    out->Add("text", stack.synthetic_leaf);
    out->EndObject();
  }
  for (size_t i = 0; i < stack.frames.size(); ++i) {
    const NamedFrame& frame = names->Of(InstructionOf(stack.frames, i));
    out->BeginObject("");
    out->Add("address", HexText(stack.frames[i]));
    out->Add("function", frame.function);
    out->Add("module", frame.module);
    out->Add("text", frame.text);
    out->EndObject();
  }
  out->EndArray();
  out->EndObject();
}

void WriteFunction(const FindingFunction& function, FrameNames* names, ReportWriter* out) {
  const NamedFrame& frame = names->Of(function.pc);
  out->BeginObject("");
  out->Add("function", frame.function);
  out->Add("module", frame.module);
  out->Add("text", frame.text);
  out->Add("share", function.share);
  out->Add("own_share", function.own_share);
  out->EndObject();
}

void WriteFinding(const Finding& finding, const Clock& clock, FrameNames* names,
                  ReportWriter* out) {
  out->BeginObject("");
  out->Add("id", finding.id);
  out->Add("kind", FindingKindName(finding.kind));
  out->Add("severity", SeverityName(finding.severity));
  out->Add("pid", finding.pid);
  out->Add("since_unix_ms", clock.UnixMs(finding.since_ns));
  if (finding.until_ns != 0) out->Add("until_unix_ms", clock.UnixMs(finding.until_ns));
  out->Add("active", finding.until_ns == 0);
  out->Add("seconds", SecondsOf(finding, clock));
  out->Add("sentence", SentenceOf(finding, names));
  out->BeginObject("facts");
  for (const FindingFact& fact : finding.facts) out->Add(fact.name, fact.value);
  out->EndObject();
  out->BeginArray("stacks");
  for (const FindingStack& stack : finding.stacks) WriteStack(stack, names, out);
  out->EndArray();
  out->BeginArray("functions");
  for (const FindingFunction& function : finding.functions) WriteFunction(function, names, out);
  out->EndArray();
  out->Add("next", finding.next);
  out->EndObject();
}

std::string JsonText(Context* context, FindingsSource* source) {
  const Clock clock;
  Names names(context, source);
  const AgentStatus status = context->sources->Status();
  JsonWriter out;
  out.BeginObject("");
  out.Add("version", status.version);
  out.Add("pid", status.pid);
  out.Add("executable", status.executable);
  out.Add("now_unix_ms", clock.now_unix_ms());
  out.Add("searched_since_unix_ms", clock.UnixMs(source->searched_since_ns()));
  out.BeginArray("findings");
  for (const Finding* finding : source->findings().Sorted()) {
    WriteFinding(*finding, clock, names.Of(*finding), &out);
  }
  out.EndArray();
  out.BeginArray("not_searched");
  for (const std::string& sentence : source->NotSearched()) out.Add("", sentence);
  out.EndArray();
  out.Add("dropped", source->findings().dropped());
  out.EndObject();
  return out.Take();
}

std::string TextOf(const Finding& finding, const Clock& clock, FrameNames* names) {
  std::string out = std::string(finding.until_ns == 0 ? "" : "ended  ") +
                    SeverityName(finding.severity) + "  " + FindingKindName(finding.kind) + "  " +
                    ValidUtf8(SentenceOf(finding, names)) + "  (" +
                    DurationText(SecondsOf(finding, clock)) + ", id " + finding.id + ")\n";
  for (const FindingStack& stack : finding.stacks) {
    out += "  " + ValidUtf8(stack.title) + ":";
    if (!stack.synthetic_leaf.empty()) out += " " + stack.synthetic_leaf;
    for (size_t i = 0; i < stack.frames.size(); ++i) {
      const NamedFrame& frame = names->Of(InstructionOf(stack.frames, i));
      out += (i == 0 ? " " : " < ") + (frame.function.empty() ? frame.text : frame.function);
    }
    out += "\n";
  }
  return out + "  next: " + finding.next + "\n";
}

std::string PlainText(Context* context, FindingsSource* source) {
  const Clock clock;
  Names names(context, source);
  std::string out;
  for (const Finding* finding : source->findings().Sorted()) {
    out += TextOf(*finding, clock, names.Of(*finding));
  }
  if (out.empty()) out = "nothing was found\n";
  for (const std::string& sentence : source->NotSearched())
    out += "not searched: " + sentence + "\n";
  return out;
}

}  // namespace

http::Answer ServeFindings(Context& context, const http::Request& request) {
  FindingsSource* const source = context.sources->Findings();
  if (source == nullptr)
    return {http::Response::Text(503, "this agent looks for nothing now\n"), nullptr};
  return AnswerInFormat(
      request, [&] { return PlainText(&context, source); },
      [&] { return JsonText(&context, source); });
}

}  // namespace sonde
