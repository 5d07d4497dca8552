// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/thread_table.h"

namespace sonde {
namespace {

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

// Async-signal-safe. Makes slot `at` visible to searches, before anybody takes it.
void RaiseHigh(Shared<uint32_t>& high, uint32_t at) {
  for (uint32_t seen = high.Load(); seen <= at; seen = high.Load()) {
    if (high.Cas(seen, at + 1)) return;
  }
}

// Async-signal-safe. A mark that somebody else wrote may be beyond the table.
uint32_t Searched(const Shared<uint32_t>& high, uint32_t count) {
  const uint32_t seen = high.Load();
  return seen < count ? seen : count;
}

// Async-signal-safe. What an earlier owner left is wiped while the slot cannot be found.
void WipeThread(ThreadBody& slot) {
  slot.name[0].Store(0);
  slot.name[1].Store(0);
  slot.first_seen_ns.Store(0);
  slot.last_seen_ns.Store(0);
  slot.cpu_ns.Store(0);
}

// Async-signal-safe.
bool StillHas(const Region& region, ThreadId id) {
  const ThreadTag tag = ThreadTag::Of(region.thread_tags[id.slot].Load());
  return id.valid && tag.state != SlotState::kFree && tag.generation == id.generation;
}

// Async-signal-safe.
ProcessId FindProcess(const Region& region, int32_t pid, uint64_t start_ticks) {
  const uint32_t end = Searched(region.header->process_high, region.counts.processes);
  for (uint32_t at = 0; at < end; ++at) {
    const ProcessTag tag = ProcessTag::Of(region.processes[at].tag.Load());
    if (tag.state == SlotState::kLive && tag.pid == static_cast<uint32_t>(pid) &&
        region.processes[at].start_ticks.Load() == start_ticks) {
      return {at, tag.generation, true};
    }
  }
  return {};
}

// Async-signal-safe.
ThreadId FindThread(const Region& region, uint32_t process, uint32_t tid) {
  const uint32_t end = Searched(region.header->thread_high, region.counts.threads);
  for (uint32_t at = 0; at < end; ++at) {
    const ThreadTag tag = ThreadTag::Of(region.thread_tags[at].Load());
    if (tag.state == SlotState::kLive && tag.tid == tid && tag.process == process) {
      return {at, tag.generation, true};
    }
  }
  return {};
}

// Async-signal-safe. Invalid: slot `at` is not free.
ThreadId TryThreadSlot(const Region& region, uint32_t at, uint32_t process, uint32_t tid) {
  const uint64_t word = region.thread_tags[at].Load();
  const ThreadTag tag = ThreadTag::Of(word);
  if (tag.state != SlotState::kFree) return {};
  RaiseHigh(region.header->thread_high, at);
  const ThreadTag live{SlotState::kLive, tag.generation, process, tid};
  if (!region.thread_tags[at].Cas(word, live.word())) return {};
  return {at, tag.generation, true};
}

// Async-signal-safe. Invalid: slot `at` is not free.
ProcessId TryProcessSlot(const Region& region, uint32_t at, int32_t pid, uint64_t start_ticks) {
  ProcessSlot& slot = region.processes[at];
  const uint64_t word = slot.tag.Load();
  const ProcessTag tag = ProcessTag::Of(word);
  if (tag.state != SlotState::kFree) return {};
  RaiseHigh(region.header->process_high, at);
  const ProcessTag live{SlotState::kLive, tag.generation, static_cast<uint32_t>(pid)};
  if (!slot.tag.Cas(word, live.word())) return {};
  slot.start_ticks.Store(start_ticks);
  return {at, tag.generation, true};
}

}  // namespace

ProcessId ClaimProcess(const Region& region, int32_t pid, uint64_t start_ticks, ProcessId parent,
                       uint64_t now_ns) {
  ProcessId id = FindProcess(region, pid, start_ticks);
  if (id.valid) return id;
  for (uint32_t at = 0; at < region.counts.processes && !id.valid; ++at) {
    id = TryProcessSlot(region, at, pid, start_ticks);
  }
  if (!id.valid) return id;
  region.processes[id.slot].parent.Store(parent.valid ? parent.slot + 1 : 0);
  region.processes[id.slot].first_seen_ns.Store(now_ns);
  return id;
}

ThreadId ClaimThread(const Region& region, ProcessId process, int32_t tid, uint64_t now_ns) {
  const ThreadId id = FindThread(region, process.slot, static_cast<uint32_t>(tid));
  return id.valid ? id : ClaimNewThread(region, process, tid, now_ns);
}

// The cursor is where the last search ended, or the lowest slot freed since, so the slots in use
// stay close together and the next free one is near.
ThreadId ClaimNewThread(const Region& region, ProcessId process, int32_t tid, uint64_t now_ns) {
  Shared<uint32_t>& cursor = region.header->thread_cursor;
  const uint32_t count = region.counts.threads;
  const uint32_t from = cursor.Load();
  ThreadId id;
  uint32_t at = from < count ? from : 0;
  for (uint32_t tried = 0; tried < count && !id.valid; ++tried) {
    id = TryThreadSlot(region, at, process.slot, static_cast<uint32_t>(tid));
    at = at + 1 < count ? at + 1 : 0;
  }
  static_cast<void>(cursor.Cas(from, at));  // lost: somebody else moved it, which is as good
  if (!id.valid) return id;
  region.threads[id.slot].first_seen_ns.Store(now_ns);
  region.threads[id.slot].last_seen_ns.Store(now_ns);
  return id;
}

void SetThreadName(const Region& region, ThreadId id, const char* name) {
  if (!StillHas(region, id)) return;
  uint64_t words[2] = {};
  for (uint32_t i = 0; i < 16 && name[i] != '\0'; ++i) {
    words[i / 8] |= static_cast<uint64_t>(static_cast<unsigned char>(name[i])) << (i % 8 * 8);
  }
  region.threads[id.slot].name[0].Store(words[0]);
  region.threads[id.slot].name[1].Store(words[1]);
}

void TouchThread(const Region& region, ThreadId id, uint64_t now_ns, uint64_t cpu_ns) {
  if (!StillHas(region, id)) return;
  region.threads[id.slot].last_seen_ns.Store(now_ns);
  region.threads[id.slot].cpu_ns.Store(cpu_ns);
}

ThreadState ReadThreadState(const Region& region, uint32_t slot) {
  if (slot >= region.counts.threads) return {};
  const ThreadTag tag = ThreadTag::Of(region.thread_tags[slot].Load());
  return {tag.state, tag.generation, tag.process, static_cast<int32_t>(tag.tid)};
}

ThreadInfo ReadThread(const Region& region, uint32_t slot_index) {
  if (slot_index >= region.counts.threads) return {};
  const ThreadBody& slot = region.threads[slot_index];
  const ThreadState state = ReadThreadState(region, slot_index);
  ThreadInfo info;
  info.state = state.state;
  info.generation = state.generation;
  info.tid = state.tid;
  info.process_slot = state.process_slot;
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
  Shared<uint64_t>& tag_word = region.thread_tags[id.slot];
  const uint64_t word = tag_word.Load();
  ThreadTag tag = ThreadTag::Of(word);
  if (!id.valid || tag.state != SlotState::kLive || tag.generation != id.generation) return;
  tag.state = SlotState::kGone;
  // Only the cold side changes a live tag, so this cannot fail.
  static_cast<void>(tag_word.Cas(word, tag.word()));
}

void MarkProcessGone(const Region& region, ProcessId id) {
  ProcessSlot& slot = region.processes[id.slot];
  const uint64_t word = slot.tag.Load();
  ProcessTag tag = ProcessTag::Of(word);
  if (!id.valid || tag.state != SlotState::kLive || tag.generation != id.generation) return;
  const uint32_t end = Searched(region.header->thread_high, region.counts.threads);
  for (uint32_t i = 0; i < end; ++i) {
    const ThreadTag thread = ThreadTag::Of(region.thread_tags[i].Load());
    if (thread.state == SlotState::kLive && thread.process == id.slot) {
      MarkThreadGone(region, {i, thread.generation, true});
    }
  }
  tag.state = SlotState::kGone;
  static_cast<void>(slot.tag.Cas(word, tag.word()));
}

uint32_t UsedThreadSlots(const Region& region) {
  return Searched(region.header->thread_high, region.counts.threads);
}

uint32_t UsedProcessSlots(const Region& region) {
  return Searched(region.header->process_high, region.counts.processes);
}

void FreeThread(const Region& region, uint32_t slot_index) {
  ThreadTag tag = ThreadTag::Of(region.thread_tags[slot_index].Load());
  if (tag.state != SlotState::kGone) return;
  WipeThread(region.threads[slot_index]);
  tag = {SlotState::kFree, tag.generation + 1, 0, 0};
  region.thread_tags[slot_index].Store(tag.word());
  Shared<uint32_t>& cursor = region.header->thread_cursor;
  const uint32_t seen = cursor.Load();
  if (slot_index < seen) static_cast<void>(cursor.Cas(seen, slot_index));
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
