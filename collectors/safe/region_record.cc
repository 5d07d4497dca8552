// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/region_record.h"

#include "collectors/safe/cell_table.h"

namespace sonde {
namespace {

// Async-signal-safe.
DropReason TryRecord(const Region& region, const StackContent& stack, ThreadId thread, Kind kind,
                     uint64_t events, uint64_t amount) {
  if (!thread.valid) return DropReason::kNoThreadSlot;
  if (stack.depth == 0 || stack.depth > kMaxDepth || events == 0 || events > kMaxCellEvents) {
    return DropReason::kBadSample;
  }
  CellKey key;
  const DropReason reason =
      FindOrInsertStack(region, stack, HashStack(stack), WriterOf(thread), &key.stack);
  if (reason != DropReason::kNone) return reason;
  key.thread_slot = thread.slot;
  key.thread_generation = thread.generation & kThreadGenerationMask;
  key.kind = kind;
  return AddToCell(region, key, events, amount);
}

}  // namespace

DropReason RecordStack(const Region& region, const StackContent& stack, ThreadId thread, Kind kind,
                       uint64_t events, uint64_t amount) {
  const DropReason reason = TryRecord(region, stack, thread, kind, events, amount);
  if (reason != DropReason::kNone) CountDrop(region, kind, reason, events, amount);
  return reason;
}

// Bit 47 is set so that the writer is never 0: slot:14 above generation:20.
uint64_t WriterOf(ThreadId thread) {
  return uint64_t{1} << 47 | static_cast<uint64_t>(thread.slot) << 20 | thread.generation;
}

ThreadId ThreadOfWriter(uint64_t writer) {
  return {static_cast<uint32_t>(writer >> 20) & (kMaxThreads - 1),
          static_cast<uint32_t>(writer) & 0xfffff, true};
}

}  // namespace sonde
