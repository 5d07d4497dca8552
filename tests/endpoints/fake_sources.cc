// SPDX-License-Identifier: Apache-2.0
#include "tests/endpoints/fake_sources.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <utility>

namespace sonde::testing {
namespace {

volatile unsigned g_sink;

int64_t NowNs(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000L + now.tv_nsec;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

std::string Executable() {
  char path[4096] = {};
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : std::string();
}

struct Share {
  void (*leaf)();
  const char* thread;
  int tid_offset;
  double part;
};
constexpr Share kShares[] = {
    {ParseRequest, "worker-1", 1, 0.6},
    {HashKey, "worker-2", 2, 0.3},
    {CompressReply, "sweeper", 3, 0.1},
};
constexpr double kBlockedShare = 0.01;

// A little into the function, as a pc or a return address is.
uint64_t Inside(void (*function)()) { return reinterpret_cast<uint64_t>(function) + 5; }

class FakeCapture final : public CpuCapture {
 public:
  FakeCapture(int rate_hz, double cores, std::shared_ptr<int> open)
      : rate_hz_(rate_hz),
        cores_(cores),
        begin_ns_(NowNs(CLOCK_MONOTONIC)),
        open_(std::move(open)) {
    ++*open_;
  }
  ~FakeCapture() override { --*open_; }
  CpuWindow Collect() override {
    const int64_t length_ns = NowNs(CLOCK_MONOTONIC) - begin_ns_;
    CpuWindow window;
    window.samples = FakeSamples(static_cast<double>(length_ns) / 1e9 * cores_, rate_hz_, getpid());
    window.to_unix_ns = NowNs(CLOCK_REALTIME);
    window.from_unix_ns = window.to_unix_ns - length_ns;
    window.covered_ns = length_ns;
    window.rate_hz = rate_hz_;
    return window;
  }

 private:
  const int rate_hz_;
  const double cores_;
  const int64_t begin_ns_;
  const std::shared_ptr<int> open_;
};

}  // namespace

// Long enough that an address a few bytes in is inside.
__attribute__((noinline)) void ParseRequest() {
  for (unsigned i = 0; i < 3; ++i) g_sink = g_sink + i;
}
__attribute__((noinline)) void HashKey() {
  for (unsigned i = 0; i < 5; ++i) g_sink = g_sink * 31 + i;
}
__attribute__((noinline)) void CompressReply() {
  for (unsigned i = 0; i < 7; ++i) g_sink = g_sink ^ (i << 3);
}
__attribute__((noinline)) void HandleConnection() {
  ParseRequest();
  HashKey();
  CompressReply();
}

std::vector<CpuSample> FakeSamples(double cpu_seconds, int rate_hz, int pid) {
  std::vector<CpuSample> samples;
  const auto add = [&](const Share& share, double part, const char* synthetic) {
    CpuSample sample;
    sample.frames = {Inside(share.leaf), Inside(HandleConnection)};
    sample.synthetic_leaf = synthetic;
    sample.thread_name = share.thread;
    sample.pid = pid;
    sample.tid = pid + share.tid_offset;
    sample.count = std::llround(cpu_seconds * part * rate_hz);
    sample.cpu_ns = sample.count * (1000000000 / rate_hz);
    if (sample.count > 0) samples.push_back(std::move(sample));
  };
  for (const Share& share : kShares) add(share, share.part * (1 - kBlockedShare), "");
  add(kShares[0], kBlockedShare, "[signal blocked]");
  return samples;
}

bool FakeHeap::Read(const HeapQuery& query, HeapSnapshot* out, std::string* error) {
  asked_ = query;
  if (!on_) {
    *error = "heap sampling is off: SONDE_HEAP=off";
    return false;
  }
  constexpr int64_t kMiB = 1 << 20;
  static const int64_t since_unix_ms = NowNs(CLOCK_REALTIME) / 1000000 - 60'000;
  HeapSample parse;
  parse.frames = {Inside(ParseRequest), Inside(HandleConnection)};
  parse.pid = getpid();
  parse.alloc_objects = 60 * 1024;
  parse.alloc_bytes = 60 * kMiB;
  HeapSample hash = parse;
  hash.frames = {Inside(HashKey), Inside(HandleConnection)};
  hash.alloc_objects = 20;
  hash.alloc_bytes = 20 * kMiB;
  hash.inuse_objects = 9;
  hash.inuse_bytes = 9 * kMiB;
  if (query.min_age_ms == 0) {
    parse.inuse_objects = (3 + reads_) * 1024;
    parse.inuse_bytes = (3 + reads_) * kMiB;
  }
  ++reads_;
  out->samples = {parse, hash};
  out->interval_bytes = 512 << 10;
  out->since_unix_ms = since_unix_ms;
  out->anonymous_before_bytes = 1876 << 10;
  out->live_samples = 24;
  return true;
}

HeapTotals FakeHeap::Totals() {
  HeapTotals totals;
  totals.on = on_;
  totals.interval_bytes = 512 << 10;
  totals.live_samples = 24;
  totals.live_samples_max = 16384;
  totals.live_objects = 3 * 1024 + 9;
  totals.live_bytes = 12 << 20;
  totals.allocated_objects = 60 * 1024 + 20;
  totals.allocated_bytes = 80 << 20;
  totals.dropped = {{"live_live_table_full", 2}};
  return totals;
}

FakeMemory::FakeMemory() {
  constexpr uint64_t kMiB = 1 << 20;
  MemoryFacts facts;
  facts.rss = 415 * kMiB;
  facts.mapped = {.anonymous = 358 * kMiB,
                  .files = 41 * kMiB,
                  .stacks = 9 * kMiB,
                  .agent = 3 * kMiB,
                  .regions = 812,
                  .thread_stacks = 31};
  facts.allocators = {{.name = "glibc",
                       .counted = true,
                       .resident = 328 * kMiB,
                       .in_use = 232 * kMiB,
                       .free = 96 * kMiB,
                       .how = "5 arenas walked in 12 ms",
                       .problem = ""}};
  facts.cgroup = {.version = 2,
                  .current = 429 * kMiB,
                  .limit = 512 * kMiB,
                  .anonymous = 370 * kMiB,
                  .file = 57 * kMiB,
                  .file_mapped = 45 * kMiB,
                  .kernel = 2 * kMiB,
                  .problem = ""};
  page_ = MakeMemoryPage(std::move(facts));
  page_.unix_ms = 1'790'000'000'000;
  page_.cost_ms = 14;
}

MemoryRelease FakeMemory::Release(bool force) {
  if (!force) return {.text = "glibc would hold its locks for about 85 ms: expected force=1"};
  return {.done = true,
          .text = "glibc gave back what it could, by malloc_trim",
          .rss_before = uint64_t{415} << 20,
          .rss_after = uint64_t{330} << 20,
          .took_ms = 84};
}

FakeSources::FakeSources(double cores)
    : cores_(cores),
      start_ns_(NowNs(CLOCK_MONOTONIC)),
      start_unix_ms_(NowNs(CLOCK_REALTIME) / 1000000) {}

std::unique_ptr<CpuCapture> FakeSources::OpenCpuCapture(int rate_hz, std::string* error) {
  if (!on_) {
    *error = "the agent is off; POST /debug/sonde/on";
    return nullptr;
  }
  ++opened_;
  return std::make_unique<FakeCapture>(rate_hz, cores_, open_);
}

CpuWindow FakeSources::CpuPast(int64_t from_unix_ns, int64_t to_unix_ns) {
  CpuWindow window;
  window.begins_late = "the agent started then";
  const int64_t now_ns = NowNs(CLOCK_REALTIME);
  window.from_unix_ns = std::max(from_unix_ns, now_ns - kRecordedNs);
  window.to_unix_ns = std::min(to_unix_ns, now_ns);
  if (window.to_unix_ns <= window.from_unix_ns) return window;
  window.covered_ns = window.to_unix_ns - window.from_unix_ns;
  window.rate_hz = 100;
  window.samples =
      FakeSamples(static_cast<double>(window.covered_ns) / 1e9 * cores_, 100, getpid());
  return window;
}

AgentStatus FakeSources::Status() {
  const double seconds = static_cast<double>(NowNs(CLOCK_MONOTONIC) - start_ns_) / 1e9;
  AgentStatus status;
  status.version = "0.1.0";
  status.commit = "0000000";
  status.state = on_ ? "on" : "off: kill switch";
  status.executable = Executable();
  status.pid = getpid();
  status.process_start_unix_ms = status.agent_start_unix_ms = start_unix_ms_;
  status.cpu_rate_hz = 100;
  status.cpu_effective_rate_hz = on_ ? 100 : 0;
  status.cpu_signal = 27;
  status.cpu_sampled_seconds = seconds * cores_;
  status.cpu_samples = static_cast<uint64_t>(seconds * cores_ * 100);
  status.dropped = {{"stack_table_full", static_cast<uint64_t>(seconds)}, {"stack_cut", 3}};
  status.allocators = memory_.Allocators();
  status.not_covered = {"/usr/lib/libexample.so: no unwind data, its frames are cut"};
  status.agent_cpu_seconds = seconds * 0.001;
  status.agent_memory_bytes = 3 << 20;
  status.agent_memory_limit_bytes = 16 << 20;
  status.cpu_timers = 3;
  status.cpu_timers_limit = 1024;
  for (const Share& share : kShares) {
    status.threads.push_back(
        {share.thread, getpid() + share.tid_offset, seconds * cores_ * share.part, true});
  }
  status.processes = {{getpid(), "sampling", "fake_agent"}};
  status.tables = {{"stacks", 120}, {"stacks_max", 8192}, {"unwind_rows", 45210}};
  return status;
}

std::string FakeSources::Maps(int pid) {
  return ReadFile("/proc/" + std::to_string(pid) + "/maps");
}

std::string FakeSources::CommandLine() { return ReadFile("/proc/self/cmdline"); }

}  // namespace sonde::testing
