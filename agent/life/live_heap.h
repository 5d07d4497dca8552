// SPDX-License-Identifier: Apache-2.0
// The heap collector in this process: switches hooks and sampler on and off, and answers the heap
// endpoints. One object per agent thread; what it counts outlives it, so a paused agent thread
// (yield.h) finds its sums again. Agent thread only, but where a function says otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "agent/endpoints/heap_source.h"
#include "collectors/cpu.h"
#include "collectors/heap.h"
#include "collectors/heap_thinning.h"
#include "collectors/past.h"

namespace sonde::life {

class LiveHeap : public HeapSource {
 public:
  // What was allocated between two times of CLOCK_MONOTONIC, from the recording.
  using PastReader = std::function<Past(uint64_t from_ns, uint64_t to_ns)>;
  LiveHeap(CpuCollector* cpu, PastReader past);
  ~LiveHeap() override;
  LiveHeap(const LiveHeap&) = delete;
  LiveHeap& operator=(const LiveHeap&) = delete;

  // Who adds what allocators have sampled that the hooks do not see.
  using AllocatorSamplesReader = std::function<void(HeapSnapshot*)>;
  void SetAllocatorSamples(AllocatorSamplesReader reader) { allocators_ = std::move(reader); }

  // At each tick: mean bytes between samples, 0: off, and why. The sampler uses more while the
  // table of live blocks, of stacks or of their frames is filling up.
  void Configure(uint32_t interval_bytes, const char* why_off);

  [[nodiscard]] bool Read(const HeapQuery& query, HeapSnapshot* out, std::string* error) override;
  [[nodiscard]] HeapTotals Totals() override;

 private:
  void SwitchOn();
  void SwitchOff();
  void ReadPeak(HeapSnapshot* out) const;
  void ReadLast(int64_t last_ms, HeapSnapshot* out) const;
  [[nodiscard]] TableFill Fill() const;
  [[nodiscard]] uint64_t LivePercent() const;
  [[nodiscard]] int ThinLive(uint32_t wanted_bytes);
  [[nodiscard]] uint32_t IntervalFor(uint32_t wanted_bytes);
  void Tell(HeapReading reading, HeapSnapshot* out) const;

  CpuCollector* cpu_;
  const PastReader past_;
  AllocatorSamplesReader allocators_;
  const char* why_off_ = "the agent is starting";
  uint32_t interval_bytes_ = 0;  // in force
  HeapThinning thinning_;
  uint64_t left_by_thinning_ = 0;  // entries, where thinning could not make room
  bool reading_ = false;           // the collector is a reader of the folder
};

// From any thread: hooks forward again, nothing is sampled.
void StopHeap();

// In a fork child: the parent's sums are not this process's. Before it has joined the tree.
void LiveHeapAfterFork();

// In a fork child that belongs to the tree: samples where its parent did.
void HeapInChild();

}  // namespace sonde::life
