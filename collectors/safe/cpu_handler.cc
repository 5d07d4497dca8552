// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/cpu_handler.h"

#include <ucontext.h>

#include <atomic>

#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/own_stack.h"
#include "collectors/safe/region_record.h"
#include "collectors/safe/rings.h"
#include "collectors/safe/scratch.h"
#include "collectors/safe/stack_request.h"
#include "collectors/safe/sys.h"
#include "collectors/safe/unwind_probe.h"

namespace sonde {
namespace {

constexpr uint64_t kLongNs = 20'000'000;  // two ticks of the slowest kernel
constexpr uint64_t kVeryLongNs = 200'000'000;
constexpr uint64_t kRoomNeeded = 1536;  // of stack below the handler's frame

constinit CpuHandlerSetup g_setup{};
constinit ScratchPool g_scratch{};
constinit UnwindPublication g_private_tables{};
constinit std::atomic<UnwindPublication*> g_tables{&g_private_tables};
constinit UnwindShare* g_shared_tables = nullptr;
constinit std::atomic<DeferredSamples*> g_deferred{nullptr};  // null: samples cannot be deferred
constinit std::atomic<uint64_t> g_stale{0};
constinit std::atomic<uint64_t> g_counted_ns{0};
constinit std::atomic<uint32_t> g_no_word{0};
constinit std::atomic<std::atomic<uint32_t>*> g_inside{&g_no_word};
constinit PcRange g_unblock[kMaxUnblockRanges]{};
constinit std::atomic<uint32_t> g_unblock_count{0};

// Async-signal-safe.
const Registers& RegistersOf(const ucontext_t& context) {
  static_assert(sizeof(Registers) <= sizeof(context.uc_mcontext.gregs));
  return reinterpret_cast<const Registers&>(context.uc_mcontext.gregs);
}

// Async-signal-safe. Whether this handler runs on the stack that sigaltstack has set up.
bool OnAlternateStack(const ucontext_t& context, uintptr_t here) {
  const auto low = reinterpret_cast<uintptr_t>(context.uc_stack.ss_sp);
  return (context.uc_stack.ss_flags & SS_DISABLE) == 0 && here >= low &&
         here < low + context.uc_stack.ss_size;
}

// Async-signal-safe. On the interrupted stack the kernel has just written its frame, of which the
// last word, behind the floating-point state, is at most so far below the red zone.
StackBounds BoundsOf(const ucontext_t& context) {
  constexpr uintptr_t kLastWord = 128 + 64 + 8;
  const auto sp = static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
  StackBounds bounds = BoundsForWalk(sp);
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (!OnAlternateStack(context, here)) bounds.written = sp - kLastWord;
  return bounds;
}

// Async-signal-safe. False when a few frames of ours would run into the end of the stack.
bool HasRoom(const ucontext_t& context) {
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (OnAlternateStack(context, here)) {
    return here - reinterpret_cast<uintptr_t>(context.uc_stack.ss_sp) >= kRoomNeeded;
  }
  const uintptr_t below = (here - kRoomNeeded) & ~(kProbePageSize - 1);
  return below == (here & ~(kProbePageSize - 1)) || PageReadable(below);
}

// Async-signal-safe. Whether the code at pc has just come out of a system call.
bool AfterSystemCall(uintptr_t pc) {
  const uintptr_t at = pc - 2;
  if (!PageReadable(at & ~(kProbePageSize - 1)) || !PageReadable(pc & ~(kProbePageSize - 1))) {
    return false;
  }
  const auto* code = reinterpret_cast<const volatile uint8_t*>(at);
  return code[0] == 0x0F && code[1] == 0x05;
}

// Async-signal-safe.
bool InUnblockingCall(uintptr_t pc) {
  const uint32_t count = g_unblock_count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    if (pc >= g_unblock[i].begin && pc < g_unblock[i].end) return true;
  }
  return false;
}

// Async-signal-safe. A long weight is honest when the thread was inside one long system call all
// the time: timers expire there, and the signal waits for the way out. It may also come of turns
// that end between two ticks, or of a hypervisor that was away; so where the code does not just
// unblock signals, only a very long one counts as blocked.
bool WasBlocked(uint64_t weight_ns, uint64_t period_ns, uintptr_t pc) {
  if (weight_ns <= 2 * period_ns || weight_ns <= kLongNs) return false;
  return InUnblockingCall(pc) || (weight_ns > kVeryLongNs && !AfterSystemCall(pc));
}

// Async-signal-safe.
void CountBlocked(ThreadId thread, uint64_t events, uint64_t amount) {
  const uint64_t frame = static_cast<uint64_t>(SyntheticFrame::kSignalBlocked);
  const StackContent stack{&frame, 1, StackFlags(StackEnd::kRoot)};
  RecordStack(g_setup.region, stack, thread, Kind::kCpu, events, amount);
}

// Async-signal-safe. Not inlined: what it needs of the stack is not needed during a walk. True: the
// walk waits for its tables, and the cold side will count the sample.
__attribute__((noinline)) bool Defer(uint64_t missing_pc, const Registers& registers,
                                     ThreadId thread, uint64_t events, uint64_t amount) {
  DeferredSamples* const deferred = g_deferred.load(std::memory_order_acquire);
  if (deferred == nullptr) return false;
  bool hurry = false;
  if (!deferred->Put(registers, PackThread(thread), events, amount, &hurry)) return false;
  // Where the copy does not reach, on another stack, tables are built one by one.
  CpuUnwindTables().misses().Ask(missing_pc);
  CpuUnwindTables().misses().CountWalk();
  if (hurry && g_setup.wake_agent != nullptr) g_setup.wake_agent();
  return true;
}

// Async-signal-safe.
void CountStack(const ucontext_t& context, ThreadId thread, uint64_t events, uint64_t amount) {
  if (!HasRoom(context)) {
    return CountDrop(g_setup.region, Kind::kCpu, DropReason::kNoRoomOnStack, events, amount);
  }
  const ScratchBuffer buffer(&g_scratch);
  if (buffer.frames() == nullptr) {
    return CountDrop(g_setup.region, Kind::kCpu, DropReason::kScratchBusy, events, amount);
  }
  const Registers& registers = RegistersOf(context);
  const StackBounds bounds = BoundsOf(context);
  WalkResult walk = WalkStack(CpuUnwindTables(), registers, bounds, buffer.frames(), kMaxDepth,
                              WhenMissing::kOnlySay);
  if (walk.not_built) {
    if (Defer(walk.missing_pc, registers, thread, events, amount)) return;
    walk = WalkStack(CpuUnwindTables(), registers, bounds, buffer.frames(), kMaxDepth);
  }
  const StackContent stack{buffer.frames(), walk.depth, StackFlags(walk.end)};
  RecordStack(g_setup.region, stack, thread, Kind::kCpu, events, amount);
}

// Async-signal-safe.
void CountExpiry(TimerSlot& timer, uint64_t expiries, const ucontext_t& context) {
  const uint64_t period_ns = timer.period_ns.load(std::memory_order_relaxed);
  const ThreadId thread = UnpackThread(timer.thread.load(std::memory_order_relaxed));
  const uint64_t weight_ns = expiries * period_ns;
  const uint64_t weight = timer.weight.load(std::memory_order_relaxed);
  timer.fired_ns.fetch_add(weight_ns, std::memory_order_relaxed);
  g_counted_ns.fetch_add(weight * weight_ns, std::memory_order_relaxed);
  const auto pc = static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
  if (!WasBlocked(weight_ns, period_ns, pc))
    return CountStack(context, thread, weight * expiries, weight * weight_ns);
  CountStack(context, thread, weight, weight * period_ns);
  CountBlocked(thread, weight * (expiries - 1), weight * (weight_ns - period_ns));
}

// Async-signal-safe. For a dump of all threads: this one was running.
void AnswerStackRequest(TimerCookie cookie, const ucontext_t& context) {
  const InsideMark inside;
  StackRequest* request = BeginStackAnswer(cookie);
  if (request == nullptr) {
    g_stale.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  WalkResult walk{0, StackEnd::kUnreadable};
  if (HasRoom(context)) {
    walk = WalkStack(CpuUnwindTables(), RegistersOf(context), BoundsOf(context), request->frames,
                     kMaxDepth);
  }
  EndStackAnswer(request, walk.depth, walk.end);
}

// Async-signal-safe. Takes over a rate that the tree's agent changed since.
void FollowAgent(TimerSlot& timer) {
  if (g_setup.wanted_period_ns == nullptr) return;
  const uint64_t wanted_ns = g_setup.wanted_period_ns->load(std::memory_order_relaxed);
  if (wanted_ns != timer.period_ns.load(std::memory_order_relaxed)) ResetTimer(timer, wanted_ns);
}

// Async-signal-safe. The wait that this signal has ended is the last of this thread's.
bool LeaveRingAlone(const TimerSlot& timer, const ucontext_t& context) {
  if (!CameOutOfRing(context)) return false;
  NoteRing();
  ForbidTimer(timer.tid.load(std::memory_order_relaxed), ForbidReason::kRing);
  return true;
}

}  // namespace

// Async-signal-safe.
const char* SyntheticFrameName(uint64_t frame) {
  switch (static_cast<SyntheticFrame>(frame)) {
    case SyntheticFrame::kSignalBlocked:
      return "[signal blocked]";
    case SyntheticFrame::kNotSampled:
      return "[not sampled]";
    case SyntheticFrame::kWaitUnread:
      return "[stack cannot be read]";
    case SyntheticFrame::kWaitUnseen:
      return "[off-CPU: waits for a CPU, or at a stack that was not seen]";
  }
  return nullptr;
}

// Async-signal-safe.
void CpuSignalHandler(int signal, siginfo_t* info, void* context) {
  const auto cookie = reinterpret_cast<uint64_t>(info->si_value.sival_ptr);
  if (info->si_code != SI_TIMER || !TimerCookie::IsOurs(cookie)) {
    if (g_setup.foreign_signal != nullptr) g_setup.foreign_signal(signal, *info, context);
    return;
  }
  if (IsStackRequest(TimerCookie::Unpack(cookie))) {
    return AnswerStackRequest(TimerCookie::Unpack(cookie), *static_cast<ucontext_t*>(context));
  }
  TimerSlot* timer = FindTimer(cookie);
  if (timer == nullptr) {
    g_stale.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const InsideMark inside;
  const auto expiries = static_cast<uint64_t>(info->si_overrun < 0 ? 0 : info->si_overrun) + 1;
  CountExpiry(*timer, expiries, *static_cast<const ucontext_t*>(context));
  if (!LeaveRingAlone(*timer, *static_cast<const ucontext_t*>(context))) FollowAgent(*timer);
}

// Cold path only.
void SetUpCpuHandler(const CpuHandlerSetup& setup) { g_setup = setup; }

// Cold path only.
void SetUnblockRanges(const PcRange* ranges, uint32_t count) {
  count = count < kMaxUnblockRanges ? count : kMaxUnblockRanges;
  for (uint32_t i = 0; i < count; ++i) g_unblock[i] = ranges[i];
  g_unblock_count.store(count, std::memory_order_release);  // pairs with InUnblockingCall
}

// Cold path only.
void SetInsideWord(std::atomic<uint32_t>* word) {
  g_inside.store(word != nullptr ? word : &g_no_word, std::memory_order_release);
}

// Async-signal-safe.
InsideMark::InsideMark() : word_(g_inside.load(std::memory_order_acquire)) {
  word_->fetch_add(1, std::memory_order_relaxed);
}

// Async-signal-safe.
InsideMark::~InsideMark() { word_->fetch_sub(1, std::memory_order_relaxed); }

// Async-signal-safe.
UnwindPublication& CpuUnwindTables() { return *g_tables.load(std::memory_order_acquire); }

// Cold path only.
void SetCpuUnwindTables(UnwindShare* share, DeferredSamples* deferred) {
  g_shared_tables = share;
  g_tables.store(share != nullptr ? &share->root : &g_private_tables, std::memory_order_release);
  g_deferred.store(deferred, std::memory_order_release);
}

// Cold path only.
void JoinCpuUnwindTables(uint32_t slot, int pid) {
  if (g_shared_tables == nullptr) return;
  g_tables.store(&g_shared_tables->Join(slot, pid), std::memory_order_release);
}

// Async-signal-safe.
uint64_t StaleCpuSignals() { return g_stale.load(std::memory_order_relaxed); }

// Async-signal-safe.
uint64_t CountedCpuNs() { return g_counted_ns.load(std::memory_order_relaxed); }

// Async-signal-safe.
void CpuHandlerAfterFork() {
  StackRequestsAfterFork();
  g_scratch.ResetAfterFork();
  // The parent's count of readers is not ours to raise.
  g_tables.store(&g_private_tables, std::memory_order_relaxed);
  g_deferred.store(nullptr, std::memory_order_relaxed);
  g_inside.store(&g_no_word, std::memory_order_relaxed);
}

}  // namespace sonde
