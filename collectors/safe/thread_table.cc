// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/thread_table.h"

namespace sonde {
namespace {

constexpr uint32_t kMaxProbes = 64;

// state:2 | generation:20 | process:10 | tid:32
struct ThreadTag {
  SlotState state;
  uint32_t generation;
  uint32_t process;
  uint32_t tid;

  // Async-signal-safe.
  static ThreadTag Of(uint64_t word) {
    return {static_cast<SlotState>(word >> 62), static_cast<uint32_t>(word >> 42) & 0xfffff,
            static_cast<uint32_t>(word >> 32) & 0x3ff, static_cast<uint32_t>(word)};
  }
  // Async-signal-safe.
  uint64_t word() const {
    return static_cast<uint64_t>(state) << 62 | static_cast<uint64_t>(generation & 0xfffff) << 42 |
           static_cast<uint64_t>(process & 0x3ff) << 32 | tid;
  }
};

// state:2 | generation:14 | unused:16 | pid:32
struct ProcessTag {
  SlotState state;
  uint32_t generation;
  uint32_t pid;

  // Async-signal-safe.
  static ProcessTag Of(uint64_t word) {
    return {static_cast<SlotState>(word >> 62), static_cast<uint32_t>(word >> 48) & 0x3fff,
            static_cast<uint32_t>(word)};
  }
  // Async-signal-safe.
  uint64_t word() const {
    return static_cast<uint64_t>(state) << 62 | static_cast<uint64_t>(generation & 0x3fff) << 48 |
           pid;
  }
};

// Async-signal-safe. Where the search begins; the table wraps.
uint32_t ProbeStart(uint64_t a, uint64_t b, uint32_t count) {
  const uint64_t mixed = (a << 32 ^ b) * 0x9e3779b97f4a7c15;
  return static_cast<uint32_t>(mixed >> 40) & (count - 1);
}

// Async-signal-safe.
uint32_t Probes(uint32_t count) { return count < kMaxProbes ? count : kMaxProbes; }

// Async-signal-safe. What an earlier owner left is wiped while the slot cannot be found.
void WipeThread(ThreadSlot& slot) {
  slot.name[0].Store(0);
  slot.name[1].Store(0);
  slot.first_seen_ns.Store(0);
  slot.last_seen_ns.Store(0);
  slot.cpu_ns.Store(0);
}

// Async-signal-safe.
bool StillHas(const ThreadSlot& slot, ThreadId id) {
  const ThreadTag tag = ThreadTag::Of(slot.tag.Load());
  return id.valid && tag.state != SlotState::kFree && tag.generation == id.generation;
}

// Async-signal-safe.
ProcessId TryProcessSlot(const Region& region, uint32_t at, int32_t pid, uint64_t start_ticks) {
  ProcessSlot& slot = region.processes[at];
  const uint64_t word = slot.tag.Load();
  const ProcessTag tag = ProcessTag::Of(word);
  if (tag.state != SlotState::kFree) return {};
  const ProcessTag live{SlotState::kLive, tag.generation, static_cast<uint32_t>(pid)};
  if (!slot.tag.Cas(word, live.word())) return {};
  slot.start_ticks.Store(start_ticks);
  return {at, tag.generation, true};
}

// Async-signal-safe.
ProcessId FindProcess(const Region& region, uint32_t start, int32_t pid, uint64_t start_ticks) {
  const uint32_t count = region.counts.processes;
  for (uint32_t i = 0; i < Probes(count); ++i) {
    const uint32_t at = (start + i) & (count - 1);
    const ProcessTag tag = ProcessTag::Of(region.processes[at].tag.Load());
    if (tag.state == SlotState::kLive && tag.pid == static_cast<uint32_t>(pid) &&
        region.processes[at].start_ticks.Load() == start_ticks) {
      return {at, tag.generation, true};
    }
  }
  return {};
}

// Async-signal-safe.
ThreadId FindThread(const Region& region, uint32_t start, uint32_t process, uint32_t tid) {
  const uint32_t count = region.counts.threads;
  for (uint32_t i = 0; i < Probes(count); ++i) {
    const uint32_t at = (start + i) & (count - 1);
    const ThreadTag tag = ThreadTag::Of(region.threads[at].tag.Load());
    if (tag.state == SlotState::kLive && tag.tid == tid && tag.process == process) {
      return {at, tag.generation, true};
    }
  }
  return {};
}

}  // namespace

ProcessId ClaimProcess(const Region& region, int32_t pid, uint64_t start_ticks, ProcessId parent,
                       uint64_t now_ns) {
  const uint32_t count = region.counts.processes;
  const uint32_t start = ProbeStart(static_cast<uint32_t>(pid), start_ticks, count);
  ProcessId id = FindProcess(region, start, pid, start_ticks);
  for (uint32_t i = 0; i < Probes(count) && !id.valid; ++i) {
    id = TryProcessSlot(region, (start + i) & (count - 1), pid, start_ticks);
    if (!id.valid) continue;
    region.processes[id.slot].parent.Store(parent.valid ? parent.slot + 1 : 0);
    region.processes[id.slot].first_seen_ns.Store(now_ns);
  }
  return id;
}

ThreadId ClaimThread(const Region& region, ProcessId process, int32_t tid, uint64_t now_ns) {
  const uint32_t count = region.counts.threads;
  const auto wanted = static_cast<uint32_t>(tid);
  const uint32_t start = ProbeStart(wanted, process.slot, count);
  const ThreadId found = FindThread(region, start, process.slot, wanted);
  if (found.valid) return found;
  for (uint32_t i = 0; i < Probes(count); ++i) {
    const uint32_t at = (start + i) & (count - 1);
    ThreadSlot& slot = region.threads[at];
    const uint64_t word = slot.tag.Load();
    const ThreadTag tag = ThreadTag::Of(word);
    const ThreadTag live{SlotState::kLive, tag.generation, process.slot, wanted};
    if (tag.state != SlotState::kFree || !slot.tag.Cas(word, live.word())) continue;
    slot.first_seen_ns.Store(now_ns);
    slot.last_seen_ns.Store(now_ns);
    return {at, tag.generation, true};
  }
  return {};
}

void SetThreadName(const Region& region, ThreadId id, const char* name) {
  ThreadSlot& slot = region.threads[id.slot];
  if (!StillHas(slot, id)) return;
  uint64_t words[2] = {};
  for (uint32_t i = 0; i < 16 && name[i] != '\0'; ++i) {
    words[i / 8] |= static_cast<uint64_t>(static_cast<unsigned char>(name[i])) << (i % 8 * 8);
  }
  slot.name[0].Store(words[0]);
  slot.name[1].Store(words[1]);
}

void TouchThread(const Region& region, ThreadId id, uint64_t now_ns, uint64_t cpu_ns) {
  ThreadSlot& slot = region.threads[id.slot];
  if (!StillHas(slot, id)) return;
  slot.last_seen_ns.Store(now_ns);
  slot.cpu_ns.Store(cpu_ns);
}

ThreadInfo ReadThread(const Region& region, uint32_t slot_index) {
  const ThreadSlot& slot = region.threads[slot_index];
  const ThreadTag tag = ThreadTag::Of(slot.tag.Load());
  ThreadInfo info;
  info.state = tag.state;
  info.generation = tag.generation;
  info.tid = static_cast<int32_t>(tag.tid);
  info.process_slot = tag.process;
  for (uint32_t i = 0; i < 16; ++i) {
    info.name[i] = static_cast<char>(slot.name[i / 8].Load() >> (i % 8 * 8));
  }
  info.first_seen_ns = slot.first_seen_ns.Load();
  info.last_seen_ns = slot.last_seen_ns.Load();
  info.cpu_ns = slot.cpu_ns.Load();
  return info;
}

ProcessInfo ReadProcess(const Region& region, uint32_t slot_index) {
  const ProcessSlot& slot = region.processes[slot_index];
  const ProcessTag tag = ProcessTag::Of(slot.tag.Load());
  return {tag.state,
          tag.generation,
          static_cast<int32_t>(tag.pid),
          slot.start_ticks.Load(),
          static_cast<uint32_t>(slot.parent.Load()),
          slot.first_seen_ns.Load()};
}

void MarkThreadGone(const Region& region, ThreadId id) {
  ThreadSlot& slot = region.threads[id.slot];
  const uint64_t word = slot.tag.Load();
  ThreadTag tag = ThreadTag::Of(word);
  if (!id.valid || tag.state != SlotState::kLive || tag.generation != id.generation) return;
  tag.state = SlotState::kGone;
  // Only the cold side changes a live tag, so this cannot fail.
  static_cast<void>(slot.tag.Cas(word, tag.word()));
}

void MarkProcessGone(const Region& region, ProcessId id) {
  ProcessSlot& slot = region.processes[id.slot];
  const uint64_t word = slot.tag.Load();
  ProcessTag tag = ProcessTag::Of(word);
  if (!id.valid || tag.state != SlotState::kLive || tag.generation != id.generation) return;
  for (uint32_t i = 0; i < region.counts.threads; ++i) {
    const ThreadTag thread = ThreadTag::Of(region.threads[i].tag.Load());
    if (thread.state == SlotState::kLive && thread.process == id.slot) {
      MarkThreadGone(region, {i, thread.generation, true});
    }
  }
  tag.state = SlotState::kGone;
  static_cast<void>(slot.tag.Cas(word, tag.word()));
}

void FreeThread(const Region& region, uint32_t slot_index) {
  ThreadSlot& slot = region.threads[slot_index];
  ThreadTag tag = ThreadTag::Of(slot.tag.Load());
  if (tag.state != SlotState::kGone) return;
  WipeThread(slot);
  tag = {SlotState::kFree, tag.generation + 1, 0, 0};
  slot.tag.Store(tag.word());
}

void FreeProcess(const Region& region, uint32_t slot_index) {
  ProcessSlot& slot = region.processes[slot_index];
  ProcessTag tag = ProcessTag::Of(slot.tag.Load());
  if (tag.state != SlotState::kGone) return;
  slot.start_ticks.Store(0);
  slot.parent.Store(0);
  slot.first_seen_ns.Store(0);
  tag = {SlotState::kFree, tag.generation + 1, 0};
  slot.tag.Store(tag.word());
}

}  // namespace sonde
