// SPDX-License-Identifier: Apache-2.0
// An agent with known numbers, for the tests of everything that is served: three functions of this
// program use CPU 60:30:10 in three threads. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/endpoints/findings_source.h"
#include "agent/endpoints/heap_source.h"
#include "agent/endpoints/memory_source.h"
#include "agent/endpoints/sources.h"
#include "tests/endpoints/fake_stacks.h"
#include "tests/endpoints/fake_threads.h"

namespace sonde::testing {

// How far back the fake recording reaches.
inline constexpr int64_t kRecordedNs = 200'000'000'000;
// 12 MiB live and 80 MiB allocated, in two stacks; every Read finds 1 MiB more live.
class FakeHeap final : public HeapSource {
 public:
  bool Read(const HeapQuery& query, HeapSnapshot* out, std::string* error) override;
  HeapTotals Totals() override;
  void Switch(bool on) { on_ = on; }
  // What was asked last.
  [[nodiscard]] const HeapQuery& asked() const { return asked_; }

 private:
  bool on_ = true;
  HeapQuery asked_;
  int64_t reads_ = 0;
};

// A page with known numbers: 415 MiB of RSS, of which the allocator keeps 96.
class FakeMemory final : public MemorySource {
 public:
  FakeMemory();
  const MemoryPage& Page() override { return page_; }
  const MemoryPage* PageForScrape() override { return &page_; }
  MemoryRelease Release(bool force) override;
  std::vector<std::string> Allocators() override { return {"glibc in libc.so.6, serves malloc"}; }
  std::vector<std::string> NotCovered() override { return {}; }

 private:
  MemoryPage page_;
};

// Nothing is ever found, unless a test puts it there.
class FakeFindings final : public FindingsSource {
 public:
  const FindingStore& findings() const override { return store_; }
  std::vector<std::string> NotSearched() const override { return {}; }
  uint64_t searched_since_ns() const override { return 0; }
  FindingStore& store() { return store_; }

 private:
  FindingStore store_;
};

class FakeSources final : public AgentSources {
 public:
  // The counters grow with the clock: `cores` of CPU are used.
  explicit FakeSources(double cores = 0.8);

  std::unique_ptr<CpuCapture> OpenCpuCapture(int rate_hz, std::string* error) override;
  CpuWindow CpuPast(int64_t from_unix_ns, int64_t to_unix_ns) override;
  AgentStatus Status() override;
  MemorySource& Memory() override { return memory_; }
  std::string Maps(int pid) override;
  std::string CommandLine() override;
  FakeHeap& Heap() override { return heap_; }
  void Off() override { Switch(false); }
  void On() override { Switch(true); }
  ThreadsSource* Threads() override { return &threads_; }
  FindingsSource* Findings() override { return &findings_; }
  FindingStore& findings() { return findings_.store(); }
  CreatorsSource* Creators() override { return &creators_; }
  FakeCreators& creators() { return creators_; }
  ContentionSource* Contention() override { return &contention_; }
  FakeContention& contention() { return contention_; }
  WallSource* Wall() override { return &wall_; }
  FakeWall& wall() { return wall_; }

  bool on() const { return on_; }
  void Switch(bool on) {
    on_ = on;
    heap_.Switch(on);
  }
  // Captures that are open now.
  int open_captures() const { return *open_; }
  // Captures that were opened, ever.
  int opened() const { return opened_; }

 private:
  const double cores_;
  const int64_t start_ns_;
  const int64_t start_unix_ms_;
  FakeHeap heap_;
  FakeMemory memory_;
  bool on_ = true;
  FakeThreads threads_;
  FakeFindings findings_;
  FakeCreators creators_;
  FakeContention contention_;
  FakeWall wall_{&threads_};
  int opened_ = 0;
  std::shared_ptr<int> open_ = std::make_shared<int>(0);
};

// Leaf functions of the fake stacks; real code of this program, so that they have names.
void ParseRequest();
void HashKey();
void CompressReply();
// Their caller.
void HandleConnection();

// Samples of `cpu_seconds` at `rate_hz`, split 60:30:10, and 1 % under "[signal blocked]".
std::vector<CpuSample> FakeSamples(double cpu_seconds, int rate_hz, int pid);

}  // namespace sonde::testing
