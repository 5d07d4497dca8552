// SPDX-License-Identifier: Apache-2.0
#include "agent/life/tree_keeper.h"

#include <errno.h>

#include <algorithm>
#include <string>

#include "agent/life/small_reads.h"
#include "agent/life/tree.h"
#include "collectors/safe/sys.h"
#include "collectors/safe/thread_table.h"

namespace sonde::life {
namespace {

void ReadProcessAgain(const Region& region, uint32_t slot) {
  const ProcessInfo process = ReadProcess(region, slot);
  if (process.state != SlotState::kLive || slot == TreeProcess().slot) return;
  if (sys::Call(SYS_kill, process.pid, 0L) != -ESRCH) return;
  MarkProcessGone(region, {slot, process.generation, true});
  ForgetTreeTimersOf(slot);
}

void ReadNameAgain(const Region& region, uint32_t slot) {
  const ThreadInfo thread = ReadThread(region, slot);
  if (thread.state != SlotState::kLive || thread.process_slot == TreeProcess().slot) return;
  const ProcessInfo process = ReadProcess(region, thread.process_slot);
  const std::string comm = ReadSmallFile("/proc/" + std::to_string(process.pid) + "/task/" +
                                         std::to_string(thread.tid) + "/comm");
  if (comm.empty()) return;
  char name[16] = {};
  comm.copy(name, std::min(comm.find('\n'), sizeof name));
  SetThreadName(region, {slot, thread.generation, true}, name);
}

}  // namespace

void TreeKeeper::Tick(uint64_t now_ns) {
  if (now_ns < next_ns_) return;
  next_ns_ = now_ns + kIntervalNs;
  const Region& region = TreeRegion();
  for (uint32_t slot = 0; slot < UsedProcessSlots(region); ++slot) ReadProcessAgain(region, slot);
  if (now_ns < next_names_ns_) return;
  next_names_ns_ = now_ns + kNamesNs;
  for (uint32_t slot = 0; slot < UsedThreadSlots(region); ++slot) ReadNameAgain(region, slot);
}

}  // namespace sonde::life
