// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/metrics.h"

#include <prometheus/text_serializer.h>
#include <time.h>

#include <optional>
#include <sstream>
#include <utility>

#include "agent/endpoints/contention_source.h"
#include "agent/endpoints/creators_source.h"
#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/findings_source.h"
#include "agent/endpoints/heap_source.h"
#include "agent/endpoints/text_util.h"

namespace sonde {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Label = ClientMetric::Label;

constexpr std::string_view kCapacitySuffix = "_max";

double MonotonicSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

class Families {
 public:
  // Begins a family; the following Value calls belong to it. One without values is left out.
  void Begin(MetricType type, std::string name, std::string help) {
    DropEmpty();
    families_.emplace_back();
    families_.back().name = std::move(name);
    families_.back().help = std::move(help);
    families_.back().type = type;
  }
  void Value(double value, std::vector<Label> labels = {}) {
    ClientMetric metric;
    for (Label& label : labels) label.value = ValidUtf8(label.value);
    metric.label = std::move(labels);
    metric.counter.value = metric.gauge.value = value;  // the type tells which is read
    families_.back().metric.push_back(std::move(metric));
  }
  void Counter(std::string name, std::string help, double value) {
    Begin(MetricType::Counter, std::move(name), std::move(help));
    Value(value);
  }
  void Gauge(std::string name, std::string help, double value) {
    Begin(MetricType::Gauge, std::move(name), std::move(help));
    Value(value);
  }
  std::vector<MetricFamily> Take() {
    DropEmpty();
    return std::move(families_);
  }

 private:
  void DropEmpty() {
    if (!families_.empty() && families_.back().metric.empty()) families_.pop_back();
  }
  std::vector<MetricFamily> families_;
};

void AddProcessLimits(const ProcessReader& process, Families* out) {
  if (const auto open = process.OpenFds()) {
    out->Gauge("process_open_fds", "Open file descriptors.", static_cast<double>(*open));
  }
  if (const auto max = process.MaxFds()) {
    out->Gauge("process_max_fds", "Limit of open file descriptors.", static_cast<double>(*max));
  }
  if (const auto max = process.MaxVirtualBytes()) {
    out->Gauge("process_virtual_memory_max_bytes", "Limit of virtual memory.",
               static_cast<double>(*max));
  }
}

void AddProcess(const ProcessReader& process, Families* out) {
  if (const auto numbers = process.Read()) {
    out->Counter("process_cpu_seconds_total", "User and system CPU time of the process.",
                 numbers->cpu_seconds);
    out->Gauge("process_start_time_seconds", "Start of the process, in seconds since 1970.",
               numbers->start_time_unix_seconds);
    out->Gauge("process_virtual_memory_bytes", "Virtual memory.", numbers->virtual_bytes);
    out->Gauge("process_resident_memory_bytes", "Resident memory.", numbers->resident_bytes);
  }
  AddProcessLimits(process, out);
}

void AddSampling(const AgentStatus& status, Families* out) {
  out->Counter("sonde_cpu_samples_total", "CPU samples taken.",
               static_cast<double>(status.cpu_samples));
  out->Counter("sonde_cpu_sampled_seconds_total", "CPU time that the samples stand for.",
               status.cpu_sampled_seconds);
  out->Begin(MetricType::Counter, "sonde_dropped_samples_total", "Samples lost, by reason.");
  for (const NamedCount& drop : status.dropped) {
    out->Value(static_cast<double>(drop.count), {{"reason", drop.name}});
  }
  out->Gauge("sonde_cpu_sample_rate_hertz", "Configured samples per second of CPU time.",
             status.cpu_rate_hz);
  out->Gauge("sonde_cpu_effective_sample_rate_hertz",
             "Samples per second of CPU time after the agent's own limits; 0 when off.",
             status.cpu_effective_rate_hz);
  out->Gauge("sonde_cpu_timers", "Threads that have a CPU timer now.",
             static_cast<double>(status.cpu_timers));
  out->Gauge("sonde_cpu_timers_limit", "Threads that may have a CPU timer at the same time.",
             static_cast<double>(status.cpu_timers_limit));
}

void AddHeap(const HeapTotals& heap, Families* out) {
  out->Gauge("sonde_heap_interval_bytes", "Mean bytes between sampled allocations; 0 when off.",
             heap.on ? static_cast<double>(heap.interval_bytes) : 0);
  if (!heap.on) return;
  out->Gauge("sonde_heap_live_bytes",
             "Live heap allocated since the collector was switched on, estimated from samples.",
             heap.live_bytes);
  out->Gauge("sonde_heap_live_objects", "Live blocks, estimated from samples.", heap.live_objects);
  out->Gauge("sonde_heap_live_samples", "Sampled blocks that have not been freed.",
             static_cast<double>(heap.live_samples));
  out->Gauge("sonde_heap_live_samples_max", "Sampled blocks that can be remembered.",
             static_cast<double>(heap.live_samples_max));
  out->Counter("sonde_heap_allocated_bytes_total", "Bytes allocated, estimated from samples.",
               static_cast<double>(heap.allocated_bytes));
  out->Counter("sonde_heap_allocated_objects_total", "Blocks allocated, estimated from samples.",
               static_cast<double>(heap.allocated_objects));
  out->Begin(MetricType::Counter, "sonde_heap_dropped_objects_total",
             "Blocks that the samples which were lost stood for, by reason.");
  for (const NamedCount& drop : heap.dropped) {
    out->Value(static_cast<double>(drop.count), {{"reason", drop.name}});
  }
}

void AddCreators(CreatorsSource* creators, Families* out) {
  if (creators == nullptr) return;
  const CreatorsTotals totals = creators->Totals();
  if (!totals.on) return;
  out->Counter("sonde_threads_created_total",
               "Threads made since the collector was switched on, ended ones included.",
               static_cast<double>(totals.made));
  out->Counter("sonde_threads_created_lost_total",
               "Threads whose making could not be counted by stack.",
               static_cast<double>(totals.lost));
}

void AddContention(ContentionSource* contention, Families* out) {
  if (contention == nullptr) return;
  const std::vector<ContentionTotal> totals = contention->Totals();
  out->Begin(MetricType::Counter, "sonde_lock_wait_seconds_total",
             "Waiting since locks are measured, by kind; holders: of others, for who unlocked.");
  for (const ContentionTotal& total : totals)
    out->Value(total.delay_seconds, {{"lock", total.lock}});
  out->Begin(MetricType::Counter, "sonde_lock_contentions_total",
             "Waits since locks are measured, by kind; holders: unlocks that others waited for.");
  for (const ContentionTotal& total : totals) {
    out->Value(static_cast<double>(total.contentions), {{"lock", total.lock}});
  }
}

void AddAgent(const Context& context, const AgentStatus& status, Families* out) {
  const bool enabled = status.state.starts_with("on");
  out->Begin(MetricType::Gauge, "sonde_build_info", "Version of the agent; always 1.");
  out->Value(1, {{"version", status.version}, {"commit", status.commit}});
  out->Gauge("sonde_enabled", "1 while the agent is on, 0 after a kill switch or a guard.",
             enabled);
  out->Begin(MetricType::Gauge, "sonde_collector_enabled", "1 while the collector measures.");
  out->Value(enabled && context.config->current().cpu, {{"collector", "cpu"}});
  out->Counter("sonde_agent_cpu_seconds_total", "CPU time of the agent itself.",
               status.agent_cpu_seconds);
  out->Gauge("sonde_agent_memory_bytes", "Memory of the agent itself.",
             static_cast<double>(status.agent_memory_bytes));
  out->Gauge("sonde_agent_memory_limit_bytes", "Limit of the agent's own memory.",
             static_cast<double>(status.agent_memory_limit_bytes));
}

void AddThreads(const Context& context, const AgentStatus& status, Families* out) {
  out->Gauge("sonde_threads", "Threads of the process, the agent's own left out.",
             static_cast<double>(status.threads.size()));
  out->Begin(MetricType::Counter, "sonde_thread_cpu_seconds_total",
             "CPU time by thread name; names beyond the first 20 count as other.");
  for (const auto& [name, seconds] : context.thread_totals.seconds())
    out->Value(seconds, {{"name", name}});
}

void AddTables(const AgentStatus& status, Families* out) {
  const auto is_capacity = [](const NamedCount& c) { return c.name.ends_with(kCapacitySuffix); };
  out->Begin(MetricType::Gauge, "sonde_table_entries", "Entries in use, by table.");
  for (const NamedCount& table : status.tables) {
    if (!is_capacity(table)) out->Value(static_cast<double>(table.count), {{"table", table.name}});
  }
  out->Begin(MetricType::Gauge, "sonde_table_capacity", "Entries that fit, by table.");
  for (const NamedCount& table : status.tables) {
    const std::string name = table.name.substr(0, table.name.size() - kCapacitySuffix.size());
    if (is_capacity(table)) out->Value(static_cast<double>(table.count), {{"table", name}});
  }
}

void AddCgroup(const MemoryPage& page, Families* out) {
  const CgroupMemory& cgroup = page.facts.cgroup;
  if (cgroup.version == 0) return;
  out->Gauge("sonde_cgroup_memory_bytes", "Memory of the cgroup, as it is charged.",
             static_cast<double>(cgroup.current));
  if (cgroup.limit != 0) {
    out->Gauge("sonde_cgroup_memory_limit_bytes", "Limit of the cgroup's memory.",
               static_cast<double>(cgroup.limit));
  }
  out->Begin(MetricType::Gauge, "sonde_cgroup_memory_part_bytes",
             "The cgroup's memory besides this process's RSS, by part.");
  out->Value(static_cast<double>(page.cgroup.page_cache), {{"part", "page_cache"}});
  out->Value(static_cast<double>(page.cgroup.tmpfs), {{"part", "tmpfs"}});
  out->Value(static_cast<double>(page.cgroup.kernel), {{"part", "kernel"}});
  out->Value(static_cast<double>(page.cgroup.other), {{"part", "other"}});
}

void AddMemory(Context* context, Families* out) {
  const MemoryPage* page = context->sources->Memory().PageForScrape();
  if (page == nullptr) return;
  out->Begin(MetricType::Gauge, "sonde_memory_bytes",
             "Memory by part; the parts add up to the RSS, unexplained may be negative.");
  for (size_t i = 0; i < kMemoryParts; ++i) {
    out->Value(static_cast<double>(page->parts[i]),
               {{"part", std::string(MemoryPartName(static_cast<MemoryPart>(i)))}});
  }
  out->Gauge("sonde_memory_read_time_seconds", "When the parts were read, in seconds since 1970.",
             static_cast<double>(page->unix_ms) / 1000);
  AddCgroup(*page, out);
}

void AddFindings(const Context& context, Families* out) {
  const FindingsSource* const source = context.sources->Findings();
  if (source == nullptr) return;
  out->Begin(MetricType::Gauge, "sonde_findings", "Findings that go on, by kind.");
  for (const FindingKind kind : kFindingKinds) {
    out->Value(static_cast<double>(source->findings().CountOf(kind)),
               {{"kind", FindingKindName(kind)}});
  }
}

void AddRequests(const Context& context, Families* out) {
  out->Begin(MetricType::Counter, "sonde_http_requests_total",
             "Requests answered, by path and status.");
  for (const auto& [key, count] : context.responses) {
    out->Value(static_cast<double>(count),
               {{"path", key.first}, {"code", std::to_string(key.second)}});
  }
  out->Begin(MetricType::Counter, "sonde_profile_downloads_total",
             "Profiles delivered, by profile.");
  for (const auto& [profile, count] : context.profile_downloads) {
    out->Value(static_cast<double>(count), {{"profile", profile}});
  }
}

// prometheus-cpp writes HELP as it is.
std::string EscapeHelp(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

std::vector<MetricFamily> CollectMetrics(Context* context) {
  const double begin = MonotonicSeconds();
  const AgentStatus status = context->sources->Status();
  context->thread_totals.Update(status.threads);
  Families out;
  AddProcess(context->process, &out);
  AddAgent(*context, status, &out);
  AddSampling(status, &out);
  AddHeap(context->sources->Heap().Totals(), &out);
  AddCreators(context->sources->Creators(), &out);
  AddContention(context->sources->Contention(), &out);
  AddThreads(*context, status, &out);
  AddTables(status, &out);
  AddMemory(context, &out);
  AddFindings(*context, &out);
  AddRequests(*context, &out);
  out.Gauge("sonde_scrape_duration_seconds", "Time to collect this page.",
            MonotonicSeconds() - begin);
  return out.Take();
}

std::string FormatMetrics(std::vector<MetricFamily> families) {
  for (MetricFamily& family : families) family.help = EscapeHelp(family.help);
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return std::move(text).str();
}

http::Answer ServeMetrics(Context& context, const http::Request&) {
  http::Response response;
  response.body = FormatMetrics(CollectMetrics(&context));
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return {std::move(response), nullptr};
}

}  // namespace sonde
