// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_heap.h"

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "agent/life/self.h"
#include "agent/life/small_reads.h"
#include "agent/life/tree.h"
#include "agent/life/wall_clock.h"
#include "collectors/allocator_symbols.h"
#include "collectors/heap.h"
#include "collectors/process_memory.h"
#include "collectors/safe/heap_sampler.h"
#include "collectors/safe/mapping_sampler.h"
#include "collectors/safe/region_file.h"

// Of agent/hooks: looks up the host's allocation functions, those that were not called yet, too.
extern "C" __attribute__((visibility("hidden"))) void SondeOpenHeap();
// Of agent/hooks: who serves malloc, and what its own mappings are told by.
extern "C" __attribute__((visibility("hidden"))) uint64_t SondeHostMalloc();
extern "C" __attribute__((visibility("hidden"))) void SondeSetAllocatorCode(uint64_t low,
                                                                            uint64_t high);

namespace sonde::life {
namespace {

// Made once a process image and never destroyed, as the unwind tables.
constinit HeapCollector* g_collector = nullptr;
constinit uint64_t g_anonymous_before = 0;  // bytes that the process had when the sums began

HeapSample ToSample(HeapStack from) {
  HeapSample to;
  to.frames = std::move(from.frames);
  to.pid = from.pid;
  to.mmap = from.kind == Kind::kMmap;
  to.alloc_objects = from.alloc_objects;
  to.alloc_bytes = from.alloc_bytes;
  to.inuse_objects = from.inuse_objects;
  to.inuse_bytes = from.inuse_bytes;
  return to;
}

// The part of what was allocated that is still in use, of the blocks that can be followed.
struct Survival {
  double objects = 0;
  double bytes = 0;
};

Survival SurvivalOf(const std::vector<HeapStack>& stacks, const HeapCollector& collector) {
  double objects = 0, bytes = 0;
  for (const HeapStack& stack : stacks) {
    objects += static_cast<double>(stack.inuse_objects);
    bytes += static_cast<double>(stack.inuse_bytes);
  }
  const auto share = [](double part, uint64_t all) {
    return all == 0 ? 0.0 : std::clamp(part / static_cast<double>(all), 0.0, 1.0);
  };
  return {share(objects, collector.allocated().objects), share(bytes, collector.allocated().bytes)};
}

// Nobody sees a block go that found no room in the live table: it is taken to be in use as the
// others are.
HeapSample Lost(const FoldLoss& loss, const Survival& survival = {}) {
  HeapSample to;
  to.synthetic_leaf = std::string("[dropped: ") + DropReasonName(loss.reason) + "]";
  to.pid = g_self.pid;
  to.mmap = loss.kind == Kind::kMmap;
  if (loss.kind == Kind::kLive) {
    to.inuse_objects = static_cast<int64_t>(static_cast<double>(loss.events) * survival.objects);
    to.inuse_bytes = static_cast<int64_t>(static_cast<double>(loss.amount) * survival.bytes);
  } else {
    to.alloc_objects = static_cast<int64_t>(loss.events);
    to.alloc_bytes = static_cast<int64_t>(loss.amount);
  }
  return to;
}

uint32_t TicksAgo(int64_t ms) {
  const uint32_t now = LiveTicks(TreeRegion(), MonotonicNs());
  const auto ticks = static_cast<uint64_t>(ms) * kLiveTicksPerSecond / 1000;
  return ticks < now ? now - static_cast<uint32_t>(ticks) : 0;
}

// Blocks younger than the age, and older than what was last, are not asked for.
LiveFilter FilterOf(const HeapQuery& query) {
  LiveFilter filter;
  if (query.min_age_ms > 0) filter.born_until = TicksAgo(query.min_age_ms);
  // Births are told by a clock that moves once a second.
  if (query.last_ms > 0) filter.born_from = TicksAgo(query.last_ms + 1000);
  return filter;
}

void AddAllocations(const FoldProfile& piece, std::vector<HeapSample>* samples) {
  for (const FoldSample& from : piece.samples) {
    if (from.kind != Kind::kAlloc && from.kind != Kind::kMmap) continue;
    HeapSample to;
    to.frames = SharedFrames(from.frames);
    to.pid = from.thread.pid;
    to.mmap = from.kind == Kind::kMmap;
    to.alloc_objects = static_cast<int64_t>(from.events);
    to.alloc_bytes = static_cast<int64_t>(from.amount);
    samples->push_back(std::move(to));
  }
  for (const FoldLoss& loss : piece.losses) {
    if (loss.kind == Kind::kAlloc || loss.kind == Kind::kMmap) samples->push_back(Lost(loss));
  }
}

uint64_t LostForRoom() {
  uint64_t lost = 0;
  for (const FoldLoss& loss : g_collector->losses()) {
    const bool full =
        loss.reason == DropReason::kStackTableFull || loss.reason == DropReason::kFramesFull ||
        loss.reason == DropReason::kCellTableFull || loss.reason == DropReason::kLiveTableFull;
    if (full) lost += loss.amount;
  }
  return lost;
}

uint32_t Raised(uint32_t interval, int doublings) {
  const uint64_t raised = uint64_t{interval} << doublings;
  return static_cast<uint32_t>(std::min(raised, std::max<uint64_t>(interval, kMaxThinnedInterval)));
}

// Resident pages that are neither a file's nor shared, from "/proc/self/statm": size resident
// shared … in pages. 0: it cannot be read.
uint64_t AnonymousBytes() {
  constexpr uint64_t kPageBytes = 4096;
  const std::string text = ReadSmallFile("/proc/self/statm");
  char* at = const_cast<char*>(text.c_str());
  std::strtoull(at, &at, 10);
  const uint64_t resident = std::strtoull(at, &at, 10);
  const uint64_t shared = std::strtoull(at, &at, 10);
  return resident > shared ? (resident - shared) * kPageBytes : 0;
}

void TellHooksTheAllocator() {
  const ProcessMemory memory;
  const auto code = LinkedObjects(memory).CodeAround(SondeHostMalloc());
  SondeSetAllocatorCode(code.low, code.high);
}

}  // namespace

LiveHeap::LiveHeap(CpuCollector* cpu, PastReader past) : cpu_(cpu), past_(std::move(past)) {
  ExemptThisThread();
}

LiveHeap::~LiveHeap() {
  if (reading_) cpu_->RemoveReader(g_collector);
}

void LiveHeap::Configure(uint32_t interval_bytes, const char* why_off) {
  why_off_ = why_off;
  if (interval_bytes != 0 && !reading_) SwitchOn();
  if (interval_bytes == 0 && reading_) SwitchOff();
  interval_bytes_ = IntervalFor(interval_bytes);
  if (reading_) TreeHeapInterval().store(interval_bytes_, std::memory_order_relaxed);
}

TableFill LiveHeap::Fill() const {
  const RegionCounts& counts = TreeRegion().counts;
  const FoldReport& report = cpu_->folder().report();
  const auto percent = [](uint64_t used, uint64_t all) { return used * 100 / all; };
  TableFill fill;
  fill.live_percent = LivePercent();
  fill.stacks_percent =
      std::max({percent(report.stacks, counts.stacks), percent(report.chunks, counts.chunks),
                percent(report.cells, counts.cells)});
  fill.taken_bytes = g_collector->allocated().bytes;
  fill.lost_bytes = LostForRoom();
  return fill;
}

uint64_t LiveHeap::LivePercent() const {
  return g_collector->live_entries() * 100 / TreeRegion().counts.live;
}

// By how many doublings of the interval, until there is room again; 0: there is. Blocks that are
// all larger than any interval stay: then once a fold is often enough to try.
int LiveHeap::ThinLive(uint32_t wanted_bytes) {
  if (LivePercent() < HeapThinning::kLiveIsFullAt) return 0;
  if (g_collector->live_entries() == left_by_thinning_) return 0;
  int doublings = 0;
  while (doublings < HeapThinning::kMostDoublings &&
         LivePercent() >= HeapThinning::kLiveIsThinBelow) {
    g_collector->ThinLiveTo(Raised(wanted_bytes, ++doublings));
  }
  left_by_thinning_ = g_collector->live_entries();
  return doublings;
}

uint32_t LiveHeap::IntervalFor(uint32_t wanted_bytes) {
  if (!reading_ || wanted_bytes == 0) return 0;
  const int live_doublings = ThinLive(wanted_bytes);
  TableFill fill = Fill();
  fill.live_doublings = live_doublings;
  return Raised(wanted_bytes, thinning_.Update(fill, MonotonicNs()));
}

// The hooks may be counting already: the agent thread was paused, or this is a child that takes the
// tree over.
void LiveHeap::SwitchOn() {
  if (g_collector == nullptr) g_collector = new HeapCollector(TreeRegion());
  const bool was_on = HeapIsOn();
  const uint64_t now_ns = MonotonicNs();
  BeatTree(now_ns);  // births are told by that clock
  if (!was_on || g_collector->since_ns() == 0) {
    g_collector->Begin(was_on ? ProcessId{} : TreeProcess(), now_ns);
    g_anonymous_before = AnonymousBytes();
  }
  cpu_->AddReader(g_collector, 0);
  reading_ = true;
  thinning_ = HeapThinning(Fill());
  if (was_on) return;
  TellHooksTheAllocator();
  const HeapSetup setup{TreeRegion(), &TreeHeapInterval(), &TreeClockNs()};
  SondeOpenHeap();
  if (!SwitchHeapOn(setup, TreeProcess(), ClaimTreeThread(g_self.pid))) {
    SwitchOff();
    why_off_ = "this kernel is older than 4.14 and cannot hide the tables from a child";
  }
}

void LiveHeap::SwitchOff() {
  StopHeap();
  cpu_->RemoveReader(g_collector);
  reading_ = false;
}

bool LiveHeap::Read(const HeapQuery& query, HeapSnapshot* out, std::string* error) {
  if (!reading_) {
    *error = std::string("heap sampling is off: ") + why_off_;
    return false;
  }
  cpu_->FoldCountsNow();
  ForgetUnmapped();
  out->interval_bytes = interval_bytes_;
  out->since_unix_ms = UnixMsOf(g_collector->since_ns());
  out->anonymous_before_bytes = g_anonymous_before;
  if (query.peak) {
    ReadPeak(out);
  } else {
    Tell(g_collector->Read(FilterOf(query)), out);
  }
  if (query.last_ms > 0) ReadLast(query.last_ms, out);
  if (query.allocators && allocators_) allocators_(out);
  if (thinning_.doublings() > 0) {
    out->notes.push_back("for room in the tables of live blocks and stacks sampled 1/" +
                         std::to_string(1 << thinning_.doublings()) + " as often as configured");
  }
  return true;
}

void LiveHeap::Tell(HeapReading reading, HeapSnapshot* out) const {
  out->interval_bytes = reading.mean_interval != 0 ? reading.mean_interval : interval_bytes_;
  out->live_samples = reading.live_samples;
  out->mapping_samples = reading.mapping_samples;
  out->samples.reserve(reading.stacks.size() + reading.losses.size());
  const Survival survival = SurvivalOf(reading.stacks, *g_collector);
  for (HeapStack& stack : reading.stacks) out->samples.push_back(ToSample(std::move(stack)));
  for (const FoldLoss& loss : reading.losses) out->samples.push_back(Lost(loss, survival));
}

void LiveHeap::ReadPeak(HeapSnapshot* out) const {
  const HeapPeak& peak = g_collector->peak();
  if (peak.at_ns == 0) {
    out->notes.emplace_back("nothing was in use so far that was sampled");
    return;
  }
  Tell(peak.reading, out);
  out->notes.push_back("what was in use when that was most, " +
                       std::to_string((MonotonicNs() - peak.at_ns) / 1'000'000'000) +
                       " s ago; looked at once a second, and kept when it is 5 % or 64 MiB above "
                       "the last peak; allocations are not told");
}

// In place of all allocations those of the recording.
void LiveHeap::ReadLast(int64_t last_ms, HeapSnapshot* out) const {
  for (HeapSample& sample : out->samples) sample.alloc_objects = sample.alloc_bytes = 0;
  const uint64_t now_ns = MonotonicNs();
  const uint64_t length_ns = static_cast<uint64_t>(last_ms) * 1'000'000;
  const uint64_t from_ns = std::max(now_ns - std::min(length_ns, now_ns), g_collector->since_ns());
  const Past past = past_(from_ns, now_ns);
  for (const FoldProfile& piece : past.pieces) AddAllocations(piece, &out->samples);
  const uint64_t begin_ns = past.pieces.empty() ? now_ns : past.pieces.front().from_ns;
  out->notes.push_back("allocated in the last " +
                       std::to_string((now_ns - std::min(begin_ns, now_ns)) / 1'000'000'000) +
                       " s, in whole steps of the recording; in use: what of the last " +
                       std::to_string((now_ns - from_ns) / 1'000'000'000) + " s is left");
}

HeapTotals LiveHeap::Totals() {
  HeapTotals totals;
  totals.on = reading_;
  totals.interval_bytes = interval_bytes_;
  totals.live_samples_max = TreeRegion().counts.live;
  if (!reading_) return totals;
  const HeapCollector::LiveTotals live = g_collector->Live();
  totals.live_samples = live.samples;
  totals.live_objects = live.objects;
  totals.live_bytes = live.bytes;
  totals.allocated_objects = g_collector->allocated().objects;
  totals.allocated_bytes = g_collector->allocated().bytes;
  for (const FoldLoss& loss : g_collector->losses()) {
    const char* half = loss.kind == Kind::kLive ? "live_" : "";
    totals.dropped.push_back({half + std::string(DropReasonName(loss.reason)), loss.events});
  }
  return totals;
}

void StopHeap() {
  if (!HeapIsOn()) return;
  SwitchHeapOff();
  g_heap.filter.Clear();
}

void LiveHeapAfterFork() { g_collector = nullptr; }

void HeapInChild() {
  if (TreeHeapInterval().load(std::memory_order_relaxed) == 0) return;
  HeapAfterFork(TreeProcess(), ClaimTreeThread(g_self.pid));
}

}  // namespace sonde::life
