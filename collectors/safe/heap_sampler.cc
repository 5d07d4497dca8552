// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/heap_sampler.h"

#include "collectors/safe/cell_table.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/heap_math.h"
#include "collectors/safe/live_table.h"
#include "collectors/safe/region_record.h"
#include "collectors/safe/scratch.h"
#include "collectors/safe/sys.h"

namespace sonde {

constinit HeapPrivate g_heap{};
constinit thread_local HeapThread t_heap{};

constinit std::atomic<uint64_t> g_gap_in_use{kWhileOff};

namespace {

static_assert(sizeof(HeapPrivate) % 4096 == 0);

constexpr int kWipeOnFork = 18;                  // MADV_WIPEONFORK, Linux 4.14
constexpr uint64_t kNoEnd = uint64_t{1} << 62;   // of gaps[kWhileOff]
constexpr uint64_t kLookAgainBytes = 512 << 10;  // while on, but nothing is wanted
constexpr int kMaxRoomsMade = 4;                 // others may take a slot that was made free
constexpr uint64_t kTickNs = 1'000'000'000 / kLiveTicksPerSecond;

constinit HeapSetup g_setup{};
constinit ScratchPool g_scratch{};
constinit std::atomic<uint64_t> g_seed{0};
constinit std::atomic<DeferredBlocks*> g_deferred{nullptr};

// Malloc-safe: may not allocate or block. 0: off.
uint32_t WantedInterval() {
  if (t_heap.exempt != 0) return 0;
  if (g_heap.on.load(std::memory_order_acquire) == 0) return 0;  // partner: SwitchOn
  return static_cast<uint32_t>(g_setup.interval->load(std::memory_order_relaxed));
}

// Malloc-safe: may not allocate or block.
uint64_t TimeStamp() {
  uint32_t low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high));
  return uint64_t{high} << 32 | low;
}

// Malloc-safe: may not allocate or block. Real entropy once a process (NewSeed), told apart by
// thread and time.
void SeedThread() {
  uint64_t state = g_seed.fetch_add(0x2545f4914f6cdd1d, std::memory_order_relaxed);
  state ^= reinterpret_cast<uintptr_t>(&t_heap);
  state = NextRandom(&state) ^ TimeStamp();
  const uint64_t random = NextRandom(&state);
  t_heap.random = random != 0 ? random : 1;
}

// Async-signal-safe.
void NewSeed() {
  constexpr unsigned kNonBlocking = 1;  // GRND_NONBLOCK
  uint64_t seed = 0;
  sys::Call(SYS_getrandom, &seed, sizeof seed, kNonBlocking);
  // Without a random device yet, early at boot, time and place have to do.
  seed ^= TimeStamp() * 0x9e3779b97f4a7c15 ^ static_cast<uint64_t>(sys::Getpid()) << 32;
  g_seed.store(seed, std::memory_order_relaxed);
}

// The host's floating-point state is put aside for a scope: it may have asked for signals on
// inexact results, for another rounding, or may look at the flags later. The arithmetic itself has
// to be in a function that is not inlined into the scope: nothing else keeps the compiler from
// moving it out.
class UsualFloatingPoint {
 public:
  // Malloc-safe: may not allocate or block.
  UsualFloatingPoint() {
    constexpr uint32_t kAsAtStart = 0x1f80;
    asm volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(hosts_) : "m"(kAsAtStart) : "memory");
  }
  // Malloc-safe: may not allocate or block.
  ~UsualFloatingPoint() { asm volatile("ldmxcsr %0" : : "m"(hosts_) : "memory"); }
  UsualFloatingPoint(const UsualFloatingPoint&) = delete;
  UsualFloatingPoint& operator=(const UsualFloatingPoint&) = delete;

 private:
  uint32_t hosts_;
};

// Malloc-safe: may not allocate or block.
void DrawNextGap(uint32_t interval) {
  const UsualFloatingPoint scope;
  t_heap.interval = interval;
  t_heap.gaps[kWhileOn] = DrawGap(NextRandom(&t_heap.random), interval);
}

// What a sample stands for.
struct Estimate {
  uint64_t blocks;
  uint64_t bytes;
};

// Malloc-safe: may not allocate or block. A fraction becomes one more at random: rounding to the
// nearest would add up, always to the same side, where one size is common.
uint64_t WholeOf(double amount) {
  const double chance = static_cast<double>(NextRandom(&t_heap.random) >> 11) * 0x1p-53;
  const auto whole = static_cast<uint64_t>(amount);
  return whole + (chance < amount - static_cast<double>(whole));
}

// Malloc-safe: may not allocate or block. `size` is what was sampled, `counted` how many bytes of
// each such block are meant.
__attribute__((noinline)) Estimate EstimateOf(uint64_t size, uint32_t interval, uint64_t counted) {
  const double weight = SampleWeight(size, interval);
  return {WholeOf(weight), WholeOf(weight * static_cast<double>(counted))};
}

// Malloc-safe: may not allocate or block.
DropReason CountOnStack(StackId stack, ThreadId thread, Kind kind, const Estimate& estimate) {
  CellKey key;
  key.stack = stack;
  key.thread_slot = thread.slot;
  key.thread_generation = thread.generation & kThreadGenerationMask;
  key.kind = kind;
  return AddToCell(g_setup.region, key, estimate.blocks, estimate.bytes);
}

// Malloc-safe: may not allocate or block. Only mappings that began at the same page are told apart.
LiveBlock WithNameOfItsOwn(LiveBlock mapping) {
  const uint32_t number = g_heap.mappings_sampled.fetch_add(1, std::memory_order_relaxed);
  mapping.address += number % (kMappingPageBytes / 8) * 8;
  return mapping;
}

// Malloc-safe: may not allocate or block.
DropReason EnterMapping(const LiveBlock& block, LiveName* name) {
  bool replaced = false;
  const DropReason reason = AddLive(g_setup.region, WithNameOfItsOwn(block), &replaced, name);
  if (reason != DropReason::kNone) return reason;
  if (g_heap.mappings.Add({block.address, block.address + block.size, *name})) return reason;
  ResizeLive(g_setup.region, *name, -static_cast<int64_t>(block.size));
  return DropReason::kLiveTableFull;
}

// Malloc-safe: may not allocate or block. Into a full table by thinning what is there, until the
// agent's thread thins the whole.
DropReason AddWithRoom(const LiveBlock& block, bool* replaced, LiveName* name) {
  DropReason reason = AddLive(g_setup.region, block, replaced, name);
  for (int i = 0; reason == DropReason::kLiveTableFull && i < kMaxRoomsMade; ++i) {
    LiveBlock gone;
    if (!MakeRoomForLive(g_setup.region, block, &gone)) return reason;
    ForgetThinned(gone);
    reason = AddLive(g_setup.region, block, replaced, name);
  }
  return reason;
}

// Malloc-safe: may not allocate or block.
DropReason EnterLive(const LiveBlock& block, LiveName* name) {
  if (block.kind == Kind::kMmap) return EnterMapping(block, name);
  bool replaced = false;
  const DropReason reason = AddWithRoom(block, &replaced, name);
  if (reason == DropReason::kNone && !replaced) g_heap.filter.Add(block.address);
  return reason;
}

// Malloc-safe: may not allocate or block.
uint32_t ThisTid() {
  if (t_heap.tid == 0) t_heap.tid = static_cast<uint32_t>(sys::Gettid());
  return t_heap.tid;
}

// Malloc-safe: may not allocate or block. Not counted as allocated, and not as live.
void DropBoth(Kind kind, DropReason reason, const Estimate& estimate) {
  CountDrop(g_setup.region, kind, reason, estimate.blocks, estimate.bytes);
  CountDrop(g_setup.region, Kind::kLive, reason, estimate.blocks, estimate.bytes);
}

// Malloc-safe: may not allocate or block.
void CountAllocated(StackId stack, ThreadId thread, Kind kind, const Estimate& estimate) {
  const DropReason reason = CountOnStack(stack, thread, kind, estimate);
  if (reason == DropReason::kNone) return;
  CountDrop(g_setup.region, kind, reason, estimate.blocks, estimate.bytes);
}

// Malloc-safe: may not allocate or block. Counted as allocated by who finishes it.
void Publish(DeferredBlock* deferred, const LiveBlock& block, const LiveName& name, ThreadId thread,
             const Estimate& estimate) {
  deferred->thread = PackThread(thread);
  deferred->events = estimate.blocks;
  deferred->amount = estimate.bytes;
  deferred->kind = block.kind;
  deferred->live = name;
  deferred->walked = block.stack;
  g_deferred.load(std::memory_order_relaxed)->Publish(deferred);
}

// Malloc-safe: may not allocate or block. `deferred`: for who finishes the walk; null: nobody does.
// False: the block is dropped, and `deferred` is still the caller's.
bool Enter(LiveBlock block, const Estimate& estimate, const StackContent& content,
           DeferredBlock* deferred) {
  const Region& region = g_setup.region;
  const ThreadId thread = UnpackThread(g_heap.thread.load(std::memory_order_relaxed));
  DropReason reason = !thread.valid ? DropReason::kNoThreadSlot
                                    : FindOrInsertStack(region, content, HashStack(content),
                                                        WriterOf(thread), &block.stack);
  if (reason != DropReason::kNone) {
    DropBoth(block.kind, reason, estimate);
    return false;
  }
  if (deferred == nullptr) CountAllocated(block.stack, thread, block.kind, estimate);
  LiveName name;
  reason = EnterLive(block, &name);
  if (reason != DropReason::kNone) {
    CountDrop(region, Kind::kLive, reason, estimate.blocks, estimate.bytes);
    name = {};
  }
  if (deferred != nullptr) Publish(deferred, block, name, thread, estimate);
  return true;
}

// Malloc-safe: may not allocate or block. On its own for the registers, which the walk needs no
// more. False: it cannot wait for its tables.
__attribute__((noinline)) bool Defer(const HookFrame& caller, const HookWalk& walk,
                                     const LiveBlock& block, const Estimate& estimate) {
  DeferredBlocks* const blocks = g_deferred.load(std::memory_order_acquire);
  DeferredBlock* const deferred = blocks != nullptr ? blocks->Begin(RegistersOf(caller)) : nullptr;
  if (deferred == nullptr) return false;
  CpuUnwindTables().misses().Ask(walk.missing_pc);
  CpuUnwindTables().misses().CountWalk();
  if (!Enter(block, estimate, walk.content, deferred)) blocks->Abandon(deferred);
  return true;
}

// Malloc-safe: may not allocate or block. By what the block holds itself: there is no room to weigh
// it, either.
void CountNoRoom(Kind kind, uint64_t size) {
  DropBoth(kind, DropReason::kNoRoomOnStack, {1, size});
}

// Malloc-safe: may not allocate or block. On its own so that RecordBlock's frame, which looks for
// room, is small.
__attribute__((noinline)) void RecordInRoom(const void* block, uint64_t size, uint32_t interval,
                                            Kind kind, const HookFrame& caller) {
  const InsideMark inside;
  const Estimate estimate = EstimateOf(size, interval, size);
  const ScratchBuffer buffer(&g_scratch);
  if (buffer.frames() == nullptr) return DropBoth(kind, DropReason::kScratchBusy, estimate);
  LiveBlock live;
  live.address = reinterpret_cast<uintptr_t>(block);
  live.process_slot = g_heap.process_slot.load(std::memory_order_relaxed);
  live.tid = ThisTid();
  live.kind = kind;
  live.size = size;
  live.birth = LiveTicks(g_setup.region, g_setup.clock_ns->load(std::memory_order_relaxed));
  live.interval = interval;
  const HookWalk walk = TryWalkFromHook(caller, buffer.frames());
  if (walk.missing_pc == 0) {
    Enter(live, estimate, walk.content, nullptr);
  } else if (!Defer(caller, walk, live, estimate)) {
    Enter(live, estimate, WalkFromHook(caller, buffer.frames()), nullptr);
  }
}

// Malloc-safe: may not allocate or block. On its own because of its floating point.
__attribute__((noinline)) void RecordGrowthInRoom(const LiveBlock& mapping, uint64_t bytes) {
  const Estimate estimate = EstimateOf(mapping.born_size, mapping.interval, bytes);
  const ThreadId thread = UnpackThread(g_heap.thread.load(std::memory_order_relaxed));
  const DropReason reason = thread.valid
                                ? CountOnStack(mapping.stack, thread, Kind::kMmap, estimate)
                                : DropReason::kNoThreadSlot;
  if (reason != DropReason::kNone) {
    CountDrop(g_setup.region, Kind::kMmap, reason, estimate.blocks, estimate.bytes);
  }
}

// Async-signal-safe.
void SwitchOn(ProcessId process, ThreadId thread) {
  g_heap.process_slot.store(process.slot, std::memory_order_relaxed);
  g_heap.thread.store(PackThread(thread), std::memory_order_relaxed);
  NewSeed();
  g_heap.on.store(process.valid ? 1 : 0, std::memory_order_release);
  g_gap_in_use.store(kWhileOn, std::memory_order_relaxed);
}

// Malloc-safe: may not allocate or block. The thread is not to be sampled now. In a raw-clone child
// and where only the tree's agent wants nothing, it goes on with the other gap.
void RestThread() {
  t_heap.gaps[kWhileOff] = kNoEnd;
  if (g_gap_in_use.load(std::memory_order_relaxed) == kWhileOn) {
    t_heap.gaps[kWhileOn] = kLookAgainBytes;
    t_heap.random = 0;
  }
}

}  // namespace

uint32_t ChooseSample(uint64_t size) {
  const uint32_t wanted = WantedInterval();
  if (wanted == 0) {
    RestThread();
    return 0;
  }
  if (t_heap.random == 0) {
    SeedThread();
    DrawNextGap(wanted);
    if (!SampleDue(size)) return 0;
  }
  const uint32_t used = t_heap.interval;
  DrawNextGap(wanted);
  return used;
}

void RecordBlock(const void* block, uint64_t size, uint32_t interval, Kind kind,
                 const HookFrame& caller) {
  if (!HasRoomForHook()) return CountNoRoom(kind, size);
  const UsualFloatingPoint scope;
  RecordInRoom(block, size, interval, kind, caller);
}

void RecordGrowth(const LiveBlock& mapping, uint64_t bytes) {
  if (!HasRoomForHook())
    return CountDrop(g_setup.region, Kind::kMmap, DropReason::kNoRoomOnStack, 1, bytes);
  const UsualFloatingPoint scope;
  RecordGrowthInRoom(mapping, bytes);
}

const HeapSetup& CurrentHeapSetup() { return g_setup; }

void ForgetBlock(const void* block) {
  if (g_heap.on.load(std::memory_order_acquire) == 0) return;
  const auto address = reinterpret_cast<uintptr_t>(block);
  const uint32_t process = g_heap.process_slot.load(std::memory_order_relaxed);
  if (TakeLive(g_setup.region, process, address)) g_heap.filter.Remove(address);
}

void ForgetThinned(const LiveBlock& gone) {
  if (gone.process_slot != g_heap.process_slot.load(std::memory_order_relaxed)) return;
  g_heap.filter.Remove(gone.address);
}

uint32_t HoldBlock(const void* block) {
  if (g_heap.on.load(std::memory_order_acquire) == 0) return kNoLive;
  return HoldLive(g_setup.region, g_heap.process_slot.load(std::memory_order_relaxed),
                  reinterpret_cast<uintptr_t>(block));
}

void ReleaseBlock(const void* block, uint32_t held, bool gone) {
  if (held == kNoLive) return;
  ReleaseLive(g_setup.region, held, gone);
  if (gone) g_heap.filter.Remove(reinterpret_cast<uintptr_t>(block));
}

void SetDeferredBlocks(DeferredBlocks* blocks) {
  g_deferred.store(blocks, std::memory_order_release);
}

void FinishBlock(const DeferredBlock& block, const StackContent& stack) {
  const ThreadId thread = UnpackThread(block.thread);
  const Estimate estimate{block.events, block.amount};
  StackId whole;
  const DropReason reason =
      FindOrInsertStack(g_setup.region, stack, HashStack(stack), WriterOf(thread), &whole);
  if (reason != DropReason::kNone) whole = block.walked;
  CountAllocated(whole, thread, block.kind, estimate);
  if (block.live.index != kNoLive) RestackLive(g_setup.region, block.live, block.walked, whole);
}

bool SwitchHeapOn(const HeapSetup& setup, ProcessId process, ThreadId thread) {
  if (sys::Failed(sys::Call(SYS_madvise, &g_heap, sizeof g_heap, kWipeOnFork))) return false;
  g_setup = setup;
  g_heap.filter.Clear();
  g_heap.mappings.Clear();
  SwitchOn(process, thread);
  return true;
}

bool HeapIsOn() { return g_heap.on.load(std::memory_order_acquire) != 0; }

void SwitchHeapOff() {
  g_gap_in_use.store(kWhileOff, std::memory_order_relaxed);
  g_heap.on.store(0, std::memory_order_release);
}

void HeapAfterFork(ProcessId process, ThreadId thread) {
  g_scratch.ResetAfterFork();
  g_deferred.store(nullptr, std::memory_order_relaxed);
  t_heap = {};
  SwitchOn(process, thread);
}

void ExemptThisThread() { t_heap.exempt = 1; }

uint32_t LiveTicks(const Region& region, uint64_t now_ns) {
  const uint64_t made_ns = region.header->created_monotonic_ns;
  const uint64_t age_ns = now_ns > made_ns ? now_ns - made_ns : 0;
  const uint64_t ticks = age_ns / kTickNs;
  return ticks < UINT32_MAX ? static_cast<uint32_t>(ticks) : UINT32_MAX;
}

}  // namespace sonde
