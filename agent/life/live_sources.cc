// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_sources.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>

#include "agent/life/build_info.h"
#include "agent/life/host_signal.h"
#include "agent/life/self.h"
#include "agent/life/small_reads.h"
#include "agent/life/tree.h"
#include "agent/life/wall_clock.h"
#include "agent/runtime/arena.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr uint64_t kClockTicksPerSecond = 100;

// Of the memory limit, for all CPU captures together. The answer is a copy, and half of the limit
// is the arena's (agent.cc), so this fits beside everything else.
constexpr size_t kCapturesShare = 8;

std::string ProcPath(int pid, const char* leaf) {
  return "/proc/" + (pid > 0 ? std::to_string(pid) : std::string("self")) + "/" + leaf;
}

int64_t StartUnixMs(uint64_t start_ticks) {
  timespec up{};
  clock_gettime(CLOCK_BOOTTIME, &up);
  const int64_t up_ms = up.tv_sec * 1000 + up.tv_nsec / 1'000'000;
  return UnixMs() - up_ms + static_cast<int64_t>(start_ticks * 1000 / kClockTicksPerSecond);
}

// Pages of the region that are in memory: only they count.
uint64_t TouchedRegionBytes() {
  const Region& region = TreeRegion();
  const uint64_t pages = region.header->total_bytes / 4096;
  std::vector<unsigned char> resident(pages);
  if (sys::Failed(
          sys::Call(SYS_mincore, region.header, region.header->total_bytes, resident.data()))) {
    return region.header->total_bytes;
  }
  return 4096 *
         static_cast<uint64_t>(std::count_if(resident.begin(), resident.end(),
                                             [](unsigned char page) { return (page & 1) != 0; }));
}

}  // namespace

LiveSources::LiveSources(ConfigStore* config, CpuCollector* cpu, const GuardRails* rails,
                         int agent_tid)
    : config_(config),
      cpu_(cpu),
      rails_(rails),
      threads_(cpu, agent_tid),
      findings_(config, cpu, &threads_),
      creators_(cpu, findings_.thread_leaks()),
      contention_(cpu, &threads_, agent_tid,
                  [this](uint64_t from, uint64_t to) { return live_cpu_.PastCounts(from, to); }),
      started_unix_ms_(UnixMs()),
      executable_(ReadLink("/proc/self/exe")),
      live_cpu_(cpu, executable_,
                static_cast<size_t>(config->current().memory_limit_bytes) / kCapturesShare),
      wall_(cpu, &threads_, &live_cpu_, agent_tid),
      heap_(cpu, [this](uint64_t from, uint64_t to) { return live_cpu_.PastCounts(from, to); }),
      memory_(agent_tid, &heap_, [this] { return OwnMemory(); }) {
  heap_.SetAllocatorSamples([this](HeapSnapshot* out) { memory_.AddAllocatorSamples(out); });
}

LiveMemory::OwnMemory LiveSources::OwnMemory() const {
  return {runtime::ArenaGetStats().mapped_bytes, cpu_->unwind().Status().bytes};
}

std::unique_ptr<CpuCapture> LiveSources::OpenCpuCapture(int rate_hz, std::string* error) {
  if (cpu_->effective_hz() == 0) {
    *error = "CPU sampling is not on: " + State();
    return nullptr;
  }
  return live_cpu_.OpenCapture(rate_hz);
}

CpuWindow LiveSources::CpuPast(int64_t from_unix_ns, int64_t to_unix_ns) {
  return live_cpu_.Past(from_unix_ns, to_unix_ns);
}

void LiveSources::NoteSampling(bool no_signal, uint64_t now_ns) {
  GapReason why_not = GapReason::kNone;
  if (cpu_->effective_hz() == 0) {
    why_not = off_           ? GapReason::kKillSwitch
              : no_signal    ? GapReason::kNoSignal
              : cpu_wanted() ? GapReason::kGuard
                             : GapReason::kSetting;
  }
  live_cpu_.SetSampling(why_not, now_ns);
}

bool LiveSources::cpu_wanted() const { return config_->current().enable && config_->current().cpu; }

std::string LiveSources::State() const {
  if (off_) return "off: kill switch; POST /debug/sonde/on switches it on";
  if (!config_->current().enable) return "off: SONDE_ENABLE=off";
  if (!trouble_.empty()) return trouble_;
  if (!config_->current().cpu) return "off: SONDE_CPU=off";
  return "on";
}

void LiveSources::AddCounters(AgentStatus* status) const {
  const CpuTotals& totals = cpu_->totals();
  status->cpu_samples = totals.samples;
  status->cpu_sampled_seconds = static_cast<double>(totals.sampled_ns) / 1e9;
  for (uint32_t i = 1; i < kDropReasonLimit; ++i) {
    const char* name = DropReasonName(static_cast<DropReason>(i));
    if (std::string_view(name) != "unknown")
      status->dropped.push_back({name, totals.dropped_samples[i]});
  }
  status->dropped.push_back({"stale_timer", StaleCpuSignals()});
  status->cpu_timers = TimersHeld();
  status->cpu_timers_limit = TreeTimerLimit();
  status->agent_cpu_seconds = rails_->cpu_seconds(totals.samples);
  status->agent_memory_bytes = runtime::ArenaGetStats().mapped_bytes +
                               cpu_->folder().memory_bytes() + cpu_->unwind().Status().bytes +
                               TouchedRegionBytes();
  status->agent_memory_limit_bytes = static_cast<uint64_t>(config_->current().memory_limit_bytes);
}

void LiveSources::AddThreads(AgentStatus* status) const {
  for (const auto& [tid, thread] : cpu_->sweep().threads().threads()) {
    status->threads.push_back(
        {thread.name, tid, static_cast<double>(thread.cpu_ns) / 1e9, cpu_->sweep().IsTimed(tid)});
  }
}

void LiveSources::AddProcesses(AgentStatus* status) const {
  const Region& region = TreeRegion();
  for (uint32_t slot = 0; slot < region.counts.processes; ++slot) {
    const ProcessInfo process = ReadProcess(region, slot);
    if (process.state == SlotState::kFree) continue;
    std::string command = ReadSmallFile(ProcPath(process.pid, "comm"));
    if (!command.empty() && command.back() == '\n') command.pop_back();
    status->processes.push_back(
        {process.pid, process.state == SlotState::kGone ? "gone" : "sampling", std::move(command)});
  }
}

void LiveSources::AddTables(AgentStatus* status) const {
  const FoldReport& report = cpu_->folder().report();
  const RegionCounts& counts = TreeRegion().counts;
  const UnwindStatus unwind = cpu_->unwind().Status();
  status->tables = {{"stacks", report.stacks},
                    {"stacks_max", counts.stacks},
                    {"cells", report.cells},
                    {"cells_max", counts.cells},
                    {"frame_chunks", report.chunks},
                    {"frame_chunks_max", counts.chunks},
                    {"threads", report.threads},
                    {"threads_max", counts.threads},
                    {"recorder_bytes", live_cpu_.recorder_bytes()},
                    {"capture_bytes", live_cpu_.capture_memory().memory_bytes()},
                    {"capture_bytes_max", live_cpu_.capture_memory().max_bytes()},
                    {"unwind_bytes", unwind.bytes},
                    {"unwind_bytes_max", unwind.budget_bytes},
                    {"unwind_misses", unwind.misses},
                    {"unwind_deferred", unwind.deferred},
                    {"unwind_chunks_built", unwind.chunks_built},
                    {"unwind_chunks_evicted", unwind.chunks_evicted},
                    {"unwind_chunks_refused", unwind.chunks_refused}};
  for (const UnwindModuleStatus& module : unwind.modules) {
    if (module.coverage == UnwindCoverage::kCovered) continue;
    if (module.coverage == UnwindCoverage::kOnDemand) continue;
    status->objects_without_unwind_data.push_back(module.name.empty() ? executable_ : module.name);
  }
}

// Names of a few threads stand for all.
void LiveSources::AddRings(AgentStatus* status) const {
  constexpr size_t kNamed = 8;
  const std::vector<std::string> threads = cpu_->sweep().RingThreads();
  if (threads.empty()) return;
  std::string names;
  for (size_t i = 0; i < std::min(threads.size(), kNamed); ++i) {
    names += (i == 0 ? "" : ", ") + threads[i];
  }
  if (threads.size() > kNamed) names += " …";
  status->not_covered.push_back("not sampled: io_uring, whose waits a sample would end early: " +
                                std::to_string(threads.size()) +
                                (threads.size() == 1 ? " thread (" : " threads (") + names + ")");
}

void LiveSources::AddNotCovered(AgentStatus* status) {
  if (const char* problem = cpu_->unwind().Status().problem; problem != nullptr) {
    status->not_covered.push_back(problem);
  }
  for (std::string& sentence : memory_.NotCovered()) {
    status->not_covered.push_back(std::move(sentence));
  }
  if (TreeNote()[0] != 0) status->not_covered.push_back(TreeNote());
  AddRings(status);
  for (const std::string& name : cpu_->sweep().BlockedThreads(MonotonicNs())) {
    status->not_covered.push_back("thread " + name + " keeps the sampling signal blocked");
  }
  if (cpu_->sweep().timers_refused() > 0) {
    status->not_covered.push_back(
        "timers were refused " + std::to_string(cpu_->sweep().timers_refused()) +
        " times: an eighth of RLIMIT_SIGPENDING, which all processes of the "
        "user share, is used up");
  }
}

AgentStatus LiveSources::Status() {
  AgentStatus status;
  status.version = kVersion;
  status.commit = kCommit;
  status.state = State();
  status.executable = executable_;
  status.pid = g_self.pid;
  status.process_start_unix_ms = StartUnixMs(StartTicksOf(g_self.pid));
  status.agent_start_unix_ms = started_unix_ms_;
  status.cpu_rate_hz = cpu_->configured_hz();
  status.cpu_effective_rate_hz = cpu_->effective_hz();
  status.cpu_signal = g_our_signal.load(std::memory_order_relaxed);
  AddCounters(&status);
  AddThreads(&status);
  AddProcesses(&status);
  AddTables(&status);
  status.allocators = memory_.Allocators();
  AddNotCovered(&status);
  return status;
}

std::string LiveSources::Maps(int pid) { return ReadSmallFile(ProcPath(pid, "maps")); }

std::string LiveSources::CommandLine() { return ReadSmallFile("/proc/self/cmdline"); }

}  // namespace sonde::life
