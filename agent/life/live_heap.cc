// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_heap.h"

#include <time.h>

#include <algorithm>

#include "agent/life/self.h"
#include "agent/life/tree.h"
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

int64_t UnixMsOf(uint64_t monotonic_ns) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t now_ms = now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
  return now_ms - static_cast<int64_t>((MonotonicNs() - monotonic_ns) / 1'000'000);
}

HeapSample ToSample(const HeapStack& from) {
  HeapSample to;
  to.frames = from.frames;
  to.pid = from.pid;
  to.mmap = from.kind == Kind::kMmap;
  to.alloc_objects = from.alloc_objects;
  to.alloc_bytes = from.alloc_bytes;
  to.inuse_objects = from.inuse_objects;
  to.inuse_bytes = from.inuse_bytes;
  return to;
}

HeapSample Lost(const FoldLoss& loss) {
  HeapSample to;
  to.synthetic_leaf = std::string("[dropped: ") + DropReasonName(loss.reason) + "]";
  to.pid = g_self.pid;
  to.mmap = loss.kind == Kind::kMmap;
  if (loss.kind == Kind::kLive) {
    to.inuse_objects = static_cast<int64_t>(loss.events);
    to.inuse_bytes = static_cast<int64_t>(loss.amount);
  } else {
    to.alloc_objects = static_cast<int64_t>(loss.events);
    to.alloc_bytes = static_cast<int64_t>(loss.amount);
  }
  return to;
}

// Blocks younger than this at the least are not asked for.
LiveFilter FilterOf(const HeapQuery& query) {
  LiveFilter filter;
  if (query.min_age_ms <= 0) return filter;
  const uint32_t now = LiveTicks(TreeRegion(), MonotonicNs());
  const auto age = static_cast<uint64_t>(query.min_age_ms) * kLiveTicksPerSecond / 1000;
  filter.born_until = age < now ? now - static_cast<uint32_t>(age) : 0;
  return filter;
}

void TellHooksTheAllocator() {
  const ProcessMemory memory;
  const auto code = LinkedObjects(memory).CodeAround(SondeHostMalloc());
  SondeSetAllocatorCode(code.low, code.high);
}

}  // namespace

LiveHeap::LiveHeap(CpuCollector* cpu) : cpu_(cpu) { ExemptThisThread(); }

LiveHeap::~LiveHeap() {
  if (reading_) cpu_->RemoveReader(g_collector);
}

void LiveHeap::Configure(uint32_t interval_bytes, const char* why_off) {
  why_off_ = why_off;
  if (interval_bytes != 0 && !reading_) SwitchOn();
  if (interval_bytes == 0 && reading_) SwitchOff();
  if (reading_) TreeHeapInterval().store(interval_bytes, std::memory_order_relaxed);
  interval_bytes_ = interval_bytes;
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
  }
  cpu_->AddReader(g_collector, 0);
  reading_ = true;
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
  cpu_->FoldNow();
  ForgetUnmapped();
  const HeapReading reading = g_collector->Read(FilterOf(query));
  out->interval_bytes = interval_bytes_;
  out->since_unix_ms = UnixMsOf(g_collector->since_ns());
  out->live_samples = reading.live_samples;
  out->mapping_samples = reading.mapping_samples;
  for (const HeapStack& stack : reading.stacks) out->samples.push_back(ToSample(stack));
  for (const FoldLoss& loss : reading.losses) out->samples.push_back(Lost(loss));
  return true;
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
