// SPDX-License-Identifier: Apache-2.0
#include "cli/render_status.h"

#include <algorithm>
#include <vector>

#include "cli/capture.h"

namespace sonde::cli {
namespace {

using nlohmann::json;

constexpr size_t kThreadsInText = 6;
constexpr size_t kProcessesInText = 8;

const json& ListOf(const json& status, const char* name) {
  static const json kEmpty = json::array();
  const auto it = status.find(name);
  return it != status.end() && it->is_array() ? *it : kEmpty;
}

const json& Part(const json& status, const char* name) {
  static const json kEmpty = json::object();
  const auto it = status.find(name);
  return it != status.end() && it->is_object() ? *it : kEmpty;
}

std::string SamplingLine(const json& status) {
  const json& cpu = Part(status, "cpu");
  const int asked = cpu.value("rate_hz", 0);
  const int effective = cpu.value("effective_rate_hz", 0);
  std::string line = effective == 0 ? "CPU is not sampled"
                                    : "CPU at " + std::to_string(effective) + " Hz of CPU time";
  if (effective != asked) line += " (configured " + std::to_string(asked) + ")";
  line += ", " + Thousands(cpu.value("samples", uint64_t{0})) + " samples stand for " +
          Seconds(cpu.value("sampled_seconds", 0.0));
  if (const int number = cpu.value("signal", 0); number > 0)
    line += ", signal " + std::to_string(number);
  return line;
}

// "stacks 812, stacks_max 8,192"
std::string Counts(const json& counts, bool zeros_too) {
  std::string line;
  for (const auto& [name, count] : counts.items()) {
    const uint64_t number = count.is_number_unsigned() ? count.get<uint64_t>() : 0;
    if (number > 0 || zeros_too)
      line += (line.empty() ? "" : ", ") + name + " " + Thousands(number);
  }
  return line;
}

std::string DroppedLine(const json& status) {
  const std::string line = Counts(Part(status, "dropped"), false);
  return line.empty() ? "nothing" : "samples: " + line;
}

std::string CostLine(const json& status) {
  const json& agent = Part(status, "agent");
  const json& cpu = Part(status, "cpu");
  return Seconds(agent.value("cpu_seconds", 0.0)) + " of CPU, " +
         Bytes(static_cast<double>(agent.value("memory_bytes", uint64_t{0}))) + " of " +
         Bytes(static_cast<double>(agent.value("memory_limit_bytes", uint64_t{0}))) + ", " +
         Thousands(cpu.value("timers", uint64_t{0})) + " of " +
         Thousands(cpu.value("timers_limit", uint64_t{0})) + " timers";
}

std::string ListenersLine(const json& status) {
  std::string line;
  for (const json& listener : ListOf(status, "listeners"))
    line += (line.empty() ? "" : ", ") + listener.value("address", "?") + " " +
            listener.value("state", "");
  return line;
}

std::string ThreadsLine(const json& status) {
  std::vector<json> threads = ListOf(status, "threads");
  std::stable_sort(threads.begin(), threads.end(), [](const json& a, const json& b) {
    return a.value("cpu_seconds", 0.0) > b.value("cpu_seconds", 0.0);
  });
  std::string line = Thousands(threads.size());
  for (size_t i = 0; i < std::min(kThreadsInText, threads.size()); ++i)
    line += (i == 0 ? ", most CPU: " : ", ") + threads[i].value("name", "?") + " (tid " +
            std::to_string(threads[i].value("tid", 0)) + ") " +
            Seconds(threads[i].value("cpu_seconds", 0.0)) +
            (threads[i].value("timed", true) ? "" : " not timed");
  return line;
}

std::string ProcessesLine(const json& status) {
  const json& processes = ListOf(status, "processes");
  std::string line = Thousands(processes.size());
  for (size_t i = 0; i < std::min(kProcessesInText, processes.size()); ++i)
    line += (i == 0 ? ": " : ", ") + std::to_string(processes[i].value("pid", 0)) + " " +
            processes[i].value("command", "?") + " " + processes[i].value("state", "");
  return line + (processes.size() > kProcessesInText ? ", …" : "");
}

void RenderSentences(Page* page, const std::string& label, const json& sentences) {
  bool first = true;
  for (const json& sentence : sentences) {
    if (!sentence.is_string()) continue;
    page->Line(first ? label : "", sentence.get<std::string>());
    first = false;
  }
}

}  // namespace

void RenderState(Page* page, const json& status, int64_t now_unix_ms) {
  const std::string commit = status.value("commit", "");
  const auto started = status.value("process_start_unix_ms", int64_t{0});
  std::string title = ProcessOf(status) + "  agent " + status.value("version", "?") +
                      (commit.empty() ? "" : " (" + commit + ")");
  if (started > 0) title += "  up " + Seconds(static_cast<double>(now_unix_ms - started) / 1000);
  page->Title(title + "  " + UtcTime(now_unix_ms));
  page->Line("state", status.value("state", "?"));
  page->Line("sampling", SamplingLine(status));
}

void RenderDetails(Page* page, const json& status) {
  page->Line("lost", DroppedLine(status));
  RenderSentences(page, "unseen", ListOf(status, "not_covered"));
  RenderSentences(page, "no unwind", ListOf(status, "objects_without_unwind_data"));
  RenderSentences(page, "settings", ListOf(status, "config_problems"));
  page->Line("cost", CostLine(status));
  if (!ListOf(status, "threads").empty()) page->Line("threads", ThreadsLine(status));
  if (ListOf(status, "processes").size() > 1) page->Line("processes", ProcessesLine(status));
  if (!ListOf(status, "listeners").empty()) page->Line("listens", ListenersLine(status));
  if (!Part(status, "tables").empty()) page->Line("tables", Counts(Part(status, "tables"), true));
}

}  // namespace sonde::cli
