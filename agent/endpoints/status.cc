// SPDX-License-Identifier: Apache-2.0
// /debug/sonde/status: what the agent does, what it loses and what it costs.
#include <string>

#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/report_answer.h"
#include "agent/endpoints/report_writer.h"
#include "agent/http/socket.h"

namespace sonde {
namespace {

void WriteIdentity(const AgentStatus& status, ReportWriter* out) {
  out->Add("version", status.version);
  out->Add("commit", status.commit);
  out->Add("state", status.state);
  out->Add("pid", status.pid);
  out->Add("executable", status.executable);
  out->Add("process_start_unix_ms", status.process_start_unix_ms);
  out->Add("agent_start_unix_ms", status.agent_start_unix_ms);
  out->Add("now_unix_ms", http::UnixSeconds() * 1000);
}

void WriteCounts(std::string_view key, const std::vector<NamedCount>& counts, ReportWriter* out) {
  out->BeginObject(key);
  for (const NamedCount& count : counts) out->Add(count.name, count.count);
  out->EndObject();
}

void WriteCpu(const AgentStatus& status, ReportWriter* out) {
  out->BeginObject("cpu");
  out->Add("rate_hz", status.cpu_rate_hz);
  out->Add("effective_rate_hz", status.cpu_effective_rate_hz);
  out->Add("signal", status.cpu_signal);
  out->Add("samples", status.cpu_samples);
  out->Add("sampled_seconds", status.cpu_sampled_seconds);
  out->Add("timers", status.cpu_timers);
  out->Add("timers_limit", status.cpu_timers_limit);
  out->EndObject();
  WriteCounts("dropped", status.dropped, out);
}

void WriteLines(std::string_view key, const std::vector<std::string>& lines, ReportWriter* out) {
  out->BeginArray(key);
  for (const std::string& line : lines) out->Add("", line);
  out->EndArray();
}

void WriteAgent(const AgentStatus& status, const Context& context, ReportWriter* out) {
  out->BeginObject("agent");
  out->Add("cpu_seconds", status.agent_cpu_seconds);
  out->Add("memory_bytes", status.agent_memory_bytes);
  out->Add("memory_limit_bytes", status.agent_memory_limit_bytes);
  out->Add("captures", context.open_captures);
  out->EndObject();
  WriteCounts("tables", status.tables, out);
}

void WriteProcesses(const AgentStatus& status, ReportWriter* out) {
  out->BeginArray("processes");
  for (const ProcessStatus& process : status.processes) {
    out->BeginObject("");
    out->Add("pid", process.pid);
    out->Add("state", process.state);
    out->Add("command", process.command);
    out->EndObject();
  }
  out->EndArray();
}

void WriteThreads(const AgentStatus& status, ReportWriter* out) {
  out->BeginArray("threads");
  for (const ThreadCpu& thread : status.threads) {
    out->BeginObject("");
    out->Add("tid", thread.tid);
    out->Add("name", thread.name);
    out->Add("cpu_seconds", thread.cpu_seconds);
    out->Add("timed", thread.timed);
    out->EndObject();
  }
  out->EndArray();
}

void WriteListeners(Context& context, ReportWriter* out) {
  out->BeginArray("listeners");
  for (const ListenerState& listener : context.listeners) {
    out->BeginObject("");
    out->Add("address", listener.address);
    out->Add("state", listener.state);
    out->EndObject();
  }
  out->EndArray();
}

void WriteStatus(Context& context, ReportWriter* out) {
  const AgentStatus status = context.sources->Status();
  out->BeginObject("");
  WriteIdentity(status, out);
  WriteCpu(status, out);
  WriteAgent(status, context, out);
  WriteLines("allocators", status.allocators, out);
  WriteLines("not_covered", status.not_covered, out);
  AddLines("config_problems", context.config->problems() + context.token.error(), out);
  WriteListeners(context, out);
  WriteProcesses(status, out);
  WriteThreads(status, out);
  WriteLines("objects_without_unwind_data", status.objects_without_unwind_data, out);
  out->EndObject();
}

}  // namespace

http::Answer ServeStatus(Context& context, const http::Request& request) {
  return AnswerReport(request, [&context](ReportWriter* out) { WriteStatus(context, out); });
}

}  // namespace sonde
