// SPDX-License-Identifier: Apache-2.0
// Reads what the page that adds up is made of: cgroup, mappings, pages in memory, allocators. Agent
// thread only. Memory: what collectors/memory_page_survey.h states while a page is made; the page
// itself stays.
//
// A page is made on request. Its CPU time is bounded by kBudgetNs, and a page is kept for
// kRestShare times what it cost, so that whoever asks without pause gets 1 % of a core and no more.
// A thread of the host that wants the agent's thread gone does not wait for it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/endpoints/heap_source.h"
#include "agent/endpoints/memory_source.h"
#include "agent/life/live_allocator_samples.h"
#include "collectors/allocator_detect.h"
#include "collectors/memory_page_pages.h"
#include "collectors/memory_page_survey.h"
#include "collectors/own_allocator.h"
#include "collectors/process_memory.h"

namespace sonde::life {

class LiveMemory : public MemorySource {
 public:
  static constexpr uint64_t kBudgetNs = 250'000'000;
  static constexpr uint64_t kRestShare = 100;
  static constexpr uint64_t kShortestRestNs = 1'000'000'000;
  static constexpr uint64_t kScrapeRestNs = 15'000'000'000;
  static constexpr double kMaxScrapeCostMs = 30;
  static constexpr uint64_t kMaxFirstScrapeRss = uint64_t{1} << 30;

  // What the agent takes in mappings that nothing in maps tells from the service's.
  struct OwnMemory {
    uint64_t private_bytes = 0;
    uint64_t shared_bytes = 0;
  };
  using OwnBytes = std::function<OwnMemory()>;

  LiveMemory(int agent_tid, HeapSource* heap, OwnBytes own_bytes);

  [[nodiscard]] const MemoryPage& Page() override;
  [[nodiscard]] const MemoryPage* PageForScrape() override;
  [[nodiscard]] MemoryRelease Release(bool force) override;
  [[nodiscard]] std::vector<std::string> Allocators() override;
  [[nodiscard]] std::vector<std::string> NotCovered() override;

  // What an allocator has sampled that the hooks do not see.
  void AddAllocatorSamples(HeapSnapshot* out) { allocator_samples_.AddTo(Detected(), out); }

 private:
  void MakePage();
  [[nodiscard]] SurveyOptions Options(const WorkBudget& budget) const;
  void MoveOwnHeap(Survey* survey) const;
  void AddSampledHeap(MemoryFacts* facts);
  void AddAllocators(const Survey& survey, const WorkBudget& budget, MemoryFacts* facts);
  const DetectedAllocators& Detected();

  const int agent_tid_;
  HeapSource* const heap_;
  const OwnBytes own_bytes_;
  const OwnAllocator own_;
  ProcessMemory memory_;
  ResidentPages pages_;
  AllocatorDetector detector_;
  std::optional<DetectedAllocators> detected_;
  uint64_t detected_ns_ = 0;
  LiveAllocatorSamples allocator_samples_{memory_};
  std::optional<MemoryPage> page_;
  uint64_t made_ns_ = 0;
};

}  // namespace sonde::life
