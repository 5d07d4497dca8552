// SPDX-License-Identifier: Apache-2.0
// The signal handler of the CPU timers: walks the interrupted stack and counts it. At most 1 KiB of
// stack of its own (the frames go to a scratch buffer), no libc, no lock, errno untouched.
//
// One sample stands for (1 + overrun) periods. Where a thread had our signal blocked for long, most
// of that weight belongs to code that ran before, so it goes to the frame "[signal blocked]"
// instead of the stack of the unblocking call. Memory: the scratch pool, private to the process.
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>

#include "collectors/safe/deferred_samples.h"
#include "collectors/safe/region.h"
#include "collectors/safe/stack_table.h"
#include "collectors/safe/unwind.h"
#include "collectors/safe/unwind_publication.h"

namespace sonde {

// Frames that are no addresses. Names: SyntheticFrameName. Stored in regions, so numbers are never
// reused.
enum class SyntheticFrame : uint64_t {
  kSignalBlocked = 1,  // CPU time used while the thread had our signal blocked
  kNotSampled = 2,     // CPU time that no sample stands for (collectors/unsampled.h)
  kWaitUnread = 3,     // of Kind::kOffCpu: at a stack that cannot be read
  kWaitUnseen = 4,     // of Kind::kOffCpu: neither running nor ever seen waiting
};
inline constexpr uint64_t kSyntheticFrameLimit = 16;

// Async-signal-safe. "[signal blocked]" and the like; null for an address.
const char* SyntheticFrameName(uint64_t frame);

// How a walk ended, as the flags of a stored stack.
constexpr uint16_t StackFlags(StackEnd end) { return static_cast<uint16_t>(end); }
constexpr StackEnd StackEndOf(uint16_t flags) { return static_cast<StackEnd>(flags & 0xFF); }

// Async-signal-safe. The handler to install (SA_SIGINFO, SA_ONSTACK, SA_RESTART, every signal
// masked).
void CpuSignalHandler(int signal, siginfo_t* info, void* context);

// What the handler needs; set before the first timer is made.
struct CpuHandlerSetup {
  Region region;
  void (*foreign_signal)(int signal, const siginfo_t& info,
                         void* context) = nullptr;  // for a signal that no timer of ours sent
  // What the tree's agent wants, 0: off. Timers of forked children, which it cannot reach, follow
  // at their expiry.
  std::atomic<uint64_t>* wanted_period_ns = nullptr;
  // Many samples wait for the agent thread. Called in the handler, so async-signal-safe.
  void (*wake_agent)() = nullptr;
};
void SetUpCpuHandler(const CpuHandlerSetup& setup);

// Pcs at which a thread unblocks signals: [begin, end) of libc's sigprocmask and the like. Cold
// path only.
struct PcRange {
  uintptr_t begin;
  uintptr_t end;
};
inline constexpr uint32_t kMaxUnblockRanges = 8;
void SetUnblockRanges(const PcRange* ranges, uint32_t count);

// A word, of a page that outlives the process, that counts the threads which are inside the agent's
// code now: after a crash it tells whether we may have been the cause. Null: no such page.
void SetInsideWord(std::atomic<uint32_t>* word);

// Counts the calling thread as inside for its life. Async-signal-safe.
class InsideMark {
 public:
  InsideMark();
  ~InsideMark();
  InsideMark(const InsideMark&) = delete;
  InsideMark& operator=(const InsideMark&) = delete;

 private:
  std::atomic<uint32_t>* word_;
};

// Async-signal-safe. The tables that the handler walks with: those of SetCpuUnwindTables, or
// private ones that nobody but a test fills.
UnwindPublication& CpuUnwindTables();

// Cold path only. Those of the tree, for the process that builds them; null: none could be had.
// `deferred`: where samples wait for tables; null: they do not.
void SetCpuUnwindTables(UnwindShare* share, DeferredSamples* deferred);

// Cold path only. In a fork child, before its first timer: `slot` is that of the process in the
// region.
void JoinCpuUnwindTables(uint32_t slot, int pid);

// Async-signal-safe. Signals that came from timers deleted meanwhile.
uint64_t StaleCpuSignals();

// Async-signal-safe. CPU time that samples of this process stand for, those included that found no
// room in the tables.
uint64_t CountedCpuNs();

// Async-signal-safe. In a fork child: scratch buffers and walkers of other threads do not exist
// here.
void CpuHandlerAfterFork();

}  // namespace sonde
