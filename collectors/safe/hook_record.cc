// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/hook_record.h"

#include "collectors/safe/cell_table.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region_record.h"
#include "collectors/safe/scratch.h"
#include "collectors/safe/sys.h"

namespace sonde {

constinit HookPrivate g_hooks{};
constinit std::atomic<uint32_t>* g_hook_uses_wanted = nullptr;

namespace {

static_assert(sizeof(HookPrivate) % 4096 == 0);

constexpr int kWipeOnFork = 18;  // MADV_WIPEONFORK, Linux 4.14

constinit Region g_region{};
constinit ScratchPool g_scratch{};

// Malloc-safe: may not allocate or block.
HookStack Lose(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  CountDrop(g_region, kind, reason, events, amount);
  return {};
}

// Malloc-safe: may not allocate or block. On its own so that EnterHookStack's frame, which looks
// for room, is small.
__attribute__((noinline)) HookStack EnterInRoom(const HookFrame& caller, Kind kind, uint64_t events,
                                                uint64_t amount) {
  const InsideMark inside;
  const ThreadId thread = UnpackThread(g_hooks.thread.load(std::memory_order_relaxed));
  if (!thread.valid) return Lose(kind, DropReason::kNoThreadSlot, events, amount);
  const ScratchBuffer buffer(&g_scratch);
  if (buffer.frames() == nullptr) return Lose(kind, DropReason::kScratchBusy, events, amount);
  const StackContent content = WalkFromHook(caller, buffer.frames());
  HookStack stack;
  stack.hash = HashStack(content);
  const DropReason reason =
      FindOrInsertStack(g_region, content, stack.hash, WriterOf(thread), &stack.id);
  if (reason != DropReason::kNone) return Lose(kind, reason, events, amount);
  if (stack.hash == 0) stack.hash = 1;
  return stack;
}

// Async-signal-safe.
void SwitchOn(ThreadId thread) {
  if (g_hook_uses_wanted == nullptr) return;
  const uint32_t uses = g_hook_uses_wanted->load(std::memory_order_relaxed);
  g_hooks.thread.store(PackThread(thread), std::memory_order_relaxed);
  g_hooks.uses.store(thread.valid ? uses : 0, std::memory_order_release);
}

}  // namespace

HookStack EnterHookStack(const HookFrame& caller, Kind kind, uint64_t events, uint64_t amount) {
  if (!HasRoomForHook()) return Lose(kind, DropReason::kNoRoomOnStack, events, amount);
  return EnterInRoom(caller, kind, events, amount);
}

void CountHookStack(const HookStack& stack, Kind kind, uint64_t events, uint64_t amount) {
  if (stack.hash == 0) return;
  const ThreadId thread = UnpackThread(g_hooks.thread.load(std::memory_order_relaxed));
  CellKey key;
  key.stack = stack.id;
  key.thread_slot = thread.slot;
  key.thread_generation = thread.generation & kThreadGenerationMask;
  key.kind = kind;
  const DropReason reason = AddToCell(g_region, key, events, amount);
  if (reason != DropReason::kNone) CountDrop(g_region, kind, reason, events, amount);
}

void RecordHookStack(const HookFrame& caller, Kind kind, uint64_t events, uint64_t amount) {
  CountHookStack(EnterHookStack(caller, kind, events, amount), kind, events, amount);
}

bool SwitchHooksOn(const Region& region, ThreadId thread, std::atomic<uint32_t>* wanted) {
  if (sys::Failed(sys::Call(SYS_madvise, &g_hooks, sizeof g_hooks, kWipeOnFork))) return false;
  g_region = region;
  g_hook_uses_wanted = wanted;
  SwitchOn(thread);
  return true;
}

void SwitchHooksOff() { g_hooks.uses.store(0, std::memory_order_release); }

void HooksAfterFork(ThreadId thread) {
  g_scratch.ResetAfterFork();
  SwitchOn(thread);
}

}  // namespace sonde
