// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold.h"

#include <algorithm>
#include <new>

#include "collectors/safe/frame_store.h"
#include "collectors/safe/region_record.h"
#include "collectors/safe/stack_table.h"

namespace sonde {
namespace {

// A counter this high is evicted though it is in use, long before it could overflow.
constexpr uint64_t kManyEvents = kMaxCellEvents / 2;

bool TellsOfFullTable(DropReason reason) {
  return reason == DropReason::kStackTableFull || reason == DropReason::kFramesFull ||
         reason == DropReason::kCellTableFull;
}

bool Above(uint32_t used, uint32_t capacity, uint32_t percent) {
  return uint64_t{used} * 100 > uint64_t{capacity} * percent;
}

}  // namespace

bool TakeColdSide(const Region& region, uint32_t expected, ProcessId self) {
  return self.valid && region.header->cold_owner.Cas(expected, self.slot + 1);
}

Folder::Folder(const Region& region, Start start, const FoldOptions& options)
    : region_(region),
      options_(options),
      cells_(region.counts.cells),
      stacks_(region.counts.stacks),
      threads_(region.counts.threads),
      processes_(region.counts.processes),
      drops_(kKindLimit * kDropReasonLimit) {
  // A cold side that was killed may have left chunks between a stack and freedom.
  report_.reclaimed = ReclaimLeakedChunks(region_);
  KeepAllLiveGroups(region_);
  if (start == Start::kFromNow) SkipPast();
}

uint64_t Folder::memory_bytes() const {
  return sizeof *this + cells_.bytes() + stacks_.bytes() + threads_.bytes() + processes_.bytes() +
         drops_.capacity() * sizeof(DropsSeen);
}

void Folder::AddSink(FoldSink* sink, uint64_t now_ns) {
  Fold(now_ns);
  sinks_.push_back(sink);
}

void Folder::RemoveSink(FoldSink* sink, uint64_t now_ns) {
  try {
    Fold(now_ns);
  } catch (const std::bad_alloc&) {  // what was counted since the last fold is not the sink's, then
  }
  std::erase(sinks_, sink);
}

// Who asks may have looked at the clock before somebody else folded. A recorder that ended a step
// in between would begin the next one before the end of this one, and readers would take neither.
uint64_t Folder::Advance(uint64_t now_ns) { return last_ns_ = std::max(last_ns_, now_ns); }

const FoldReport& Folder::Fold(uint64_t now_ns) {
  now_ns = Advance(now_ns);
  ++fold_;
  region_.header->fold_count.Add(1);
  const FoldReport before = report_;
  report_ = {};
  report_.chunks = before.chunks;
  report_.stacks = before.stacks;
  report_.cells = before.cells;
  FoldDrops();
  DecideOnPressure();
  FoldCells();
  FoldLive();
  SweepStacks(now_ns);
  SweepThreads(now_ns);
  for (FoldSink* sink : sinks_) sink->OnFoldEnd(now_ns);
  return report_;
}

void Folder::FoldCounts(uint64_t now_ns) {
  now_ns = Advance(now_ns);
  FoldDrops();
  DecideOnPressure();
  FoldCells();
  for (FoldSink* sink : sinks_) sink->OnFoldEnd(now_ns);
}

// Takes what is there as the starting point.
void Folder::SkipPast() {
  for (uint32_t i = 0; i < region_.counts.cells; ++i) {
    const CellReading reading = ReadCell(region_, i);
    if (reading.state == CellReading::State::kCounting) {
      cells_[i] = {reading.events(), reading.amount, 0};
    }
  }
  for (uint32_t i = 0; i < drops_.size(); ++i) {
    drops_[i] = {region_.drops[i].events.Load(), region_.drops[i].amount.Load()};
  }
}

void Folder::FoldDrops() {
  tables_overflowed_ = false;
  for (uint32_t i = 0; i < drops_.size(); ++i) {
    const DropsSeen now{region_.drops[i].events.Load(), region_.drops[i].amount.Load()};
    if (now == drops_[i]) continue;
    const auto reason = static_cast<DropReason>(i % kDropReasonLimit);
    for (FoldSink* sink : sinks_) {
      sink->OnLost(static_cast<Kind>(i / kDropReasonLimit), reason, now.events - drops_[i].events,
                   now.amount - drops_[i].amount);
    }
    tables_overflowed_ |= TellsOfFullTable(reason);
    drops_[i] = now;
  }
}

// Found by the fold itself: counted in the region too, where metrics see it.
void Folder::Lose(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  CountDrop(region_, kind, reason, events, amount);
  const auto row = static_cast<uint32_t>(kind) % kKindLimit;
  DropsSeen& seen = drops_[row * kDropReasonLimit + static_cast<uint32_t>(reason)];
  seen = {seen.events + events, seen.amount + amount};
  for (FoldSink* sink : sinks_) sink->OnLost(kind, reason, events, amount);
}

// Evicting loses nothing, what a cell held has been handed over: it costs its next user an
// insertion. So when a table overflows everything goes, and what is in use comes back; that is fair
// to newcomers, which an idle limit is not.
void Folder::DecideOnPressure() {
  const RegionCounts& counts = region_.counts;
  const bool filled = Above(report_.cells, counts.cells, options_.pressure_percent) ||
                      Above(report_.stacks, counts.stacks, options_.pressure_percent) ||
                      Above(report_.chunks, counts.chunks, options_.pressure_percent);
  report_.pressure = filled || tables_overflowed_;
  evict_after_ = tables_overflowed_ ? 0 : filled ? 1 : options_.idle_folds;
}

void Folder::FoldCells() {
  report_.cells = 0;
  // Most cells are free, always: one load each.
  for (uint32_t i = 0; i < region_.counts.cells; ++i) {
    if (const uint64_t key = region_.cell_keys[i].Load(); key != 0) FoldCell(i, key);
  }
}

void Folder::FoldCell(uint32_t index, uint64_t key) {
  const CellReading reading = ReadCell(region_, index, key);
  ++report_.cells;
  if (reading.state == CellReading::State::kTorn) return MarkUsed(reading.key);
  CellState& state = cells_[index];
  if (reading.state == CellReading::State::kStale) {
    state = {};
    return ClearStaleCell(region_, index);
  }
  const uint64_t events = reading.events() - state.events;
  const uint64_t amount = reading.amount - state.amount;
  state = {reading.events(), reading.amount, events == 0 ? state.idle_folds + 1 : 0};
  const bool known = events == 0 || HandOver(reading.key, events, amount);
  const bool wanted = known && state.idle_folds < evict_after_ && state.events < kManyEvents &&
                      ReadThreadState(region_, reading.key.thread_slot).state == SlotState::kLive;
  if (wanted || !EvictCell(region_, index, reading)) return MarkUsed(reading.key);
  state = {};
  ++report_.evicted_cells;
}

void Folder::MarkUsed(const CellKey& key) {
  if (key.stack.index < stacks_.size()) stacks_[key.stack.index].used_fold = fold_;
  if (key.thread_slot < threads_.size()) threads_[key.thread_slot].used_fold = fold_;
}

// Stacks of live blocks stay, and with them the slots of their processes; blocks go with their
// process. An entry that is being written names its stack a moment later: by then, or in the fold
// after, before anything is freed.
void Folder::FoldLive() {
  report_.live = 0;
  LiveSlots group = NextLiveGroup(region_, 0);
  for (; group.last != 0; group = NextLiveGroup(region_, group.last)) {
    if (FoldLiveGroup(group)) continue;
    DropLiveGroup(region_, group.first);
    if (FoldLiveGroup(group)) KeepLiveGroup(region_, group.first);
  }
}

// Whether anything is in the group. Neighbours are mostly blocks of one process.
bool Folder::FoldLiveGroup(const LiveSlots& group) {
  bool taken = false;
  uint32_t live_process = UINT32_MAX;
  for (uint32_t i = group.first; i < group.last; ++i) {
    if (IsFreeLiveKey(region_.live_keys[i].Load())) continue;  // most are
    uint32_t process = 0;
    StackId stack;
    uint64_t word = 0;
    if (!LiveOwner(region_, i, &process, &stack, &word)) continue;
    if (process != live_process) {
      if (process >= processes_.size() || ReadProcess(region_, process).state != SlotState::kLive) {
        ForgetLive(region_, i, word);
        continue;
      }
      live_process = process;
      processes_[process].used_fold = fold_;
    }
    taken = true;
    ++report_.live;
    if (stack.index < stacks_.size()) stacks_[stack.index].used_fold = fold_;
  }
  return taken;
}

// False: what was counted has no owner any more, and is counted as lost.
bool Folder::HandOver(const CellKey& key, uint64_t events, uint64_t amount) {
  FoldDelta delta;
  const DropReason reason = Describe(key, &delta);
  if (reason != DropReason::kNone) {
    Lose(key.kind, reason, events, amount);
    return false;
  }
  delta.events = events;
  delta.amount = amount;
  for (FoldSink* sink : sinks_) sink->OnDelta(delta);
  return true;
}

DropReason Folder::Describe(const CellKey& key, FoldDelta* delta) {
  const uint32_t depth = ReadStack(region_, key.stack, frames_, &delta->flags);
  if (depth == 0) return DropReason::kStaleStack;
  if (key.thread_slot >= threads_.size()) return DropReason::kStaleThread;
  const ThreadInfo info = ReadThread(region_, key.thread_slot);
  const bool same = (info.generation & kThreadGenerationMask) == key.thread_generation;
  if (!same || info.state == SlotState::kFree) return DropReason::kStaleThread;
  delta->frames = {frames_, depth};
  delta->stack = key.stack;
  delta->hash = HashStack({frames_, depth, delta->flags});
  delta->kind = key.kind;
  delta->thread.tid = info.tid;
  delta->thread.slot = key.thread_slot;
  delta->thread.generation = info.generation;
  std::copy(std::begin(info.name), std::end(info.name), delta->thread.name);
  if (info.process_slot < processes_.size()) {
    delta->thread.pid = ReadProcess(region_, info.process_slot).pid;
  }
  return DropReason::kNone;
}

// Whether the wait that this call begins or goes on with is over. At the earliest in the fold after
// the one in which it began, so that a handler that was on its way has shown itself.
bool Folder::HasOutlived(SlotAge* age, uint64_t now_ns) const {
  if (age->since_ns == 0) {
    age->since_ns = now_ns;
    return false;
  }
  return now_ns - age->since_ns >= options_.grace_ns;
}

void Folder::SweepStacks(uint64_t now_ns) {
  report_.stacks = 0;
  report_.chunks = 0;
  for (uint32_t i = 0; i < region_.counts.stacks; ++i) {
    const uint64_t word = region_.stack_tags[i].Load();
    if (IsFreeStackTag(word)) continue;
    const StackTag tag = StackTag::Of(word);
    if (tag.state == StackState::kWriting) {
      SweepWriter(i, tag);
    } else {
      SweepStack(i, tag, now_ns);
    }
  }
}

void Folder::SweepStack(uint32_t index, const StackTag& tag, uint64_t now_ns) {
  const StackBody& body = region_.stacks[index];
  SlotAge& age = stacks_[index];
  const bool retiring = tag.state == StackState::kRetiring;
  if (age.used_fold == fold_ || body.pins.Load() != 0) {
    age.since_ns = 0;
    if (retiring) ReviveStack(region_, index);
  } else if (!retiring) {
    age.since_ns = now_ns;
    RetireStack(region_, index);
  } else if (HasOutlived(&age, now_ns) && FreeStack(region_, index)) {
    age = {};
    ++report_.freed_stacks;
    return;
  }
  ++report_.stacks;
  report_.chunks += ((body.shape.Load() >> 16) + kFramesPerChunk - 1) / kFramesPerChunk;
}

void Folder::SweepWriter(uint32_t index, const StackTag& tag) {
  const ThreadId writer = ThreadOfWriter(tag.hash);
  const ThreadState state = ReadThreadState(region_, writer.slot);
  const bool alive = state.state == SlotState::kLive && state.generation == writer.generation;
  if (!alive && ReclaimWriting(region_, index)) {
    ++report_.reclaimed;
  } else {
    ++report_.stuck_writers;
  }
}

void Folder::SweepThreads(uint64_t now_ns) {
  for (uint32_t i = 0; i < UsedThreadSlots(region_); ++i) {
    const ThreadState thread = ReadThreadState(region_, i);
    if (thread.state == SlotState::kFree) continue;
    if (thread.process_slot < processes_.size()) processes_[thread.process_slot].used_fold = fold_;
    ++report_.threads;
    SlotAge& age = threads_[i];
    if (thread.state == SlotState::kLive || age.used_fold == fold_) {
      age.since_ns = 0;
    } else if (HasOutlived(&age, now_ns)) {
      FreeThread(region_, i);
      age = {};
    }
  }
  SweepProcesses(now_ns);
}

void Folder::SweepProcesses(uint64_t now_ns) {
  for (uint32_t i = 0; i < UsedProcessSlots(region_); ++i) {
    SlotAge& age = processes_[i];
    if (ReadProcess(region_, i).state != SlotState::kGone || age.used_fold == fold_) {
      age.since_ns = 0;
    } else if (HasOutlived(&age, now_ns)) {
      FreeProcess(region_, i);
      age = {};
    }
  }
}

}  // namespace sonde
