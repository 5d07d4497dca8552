// SPDX-License-Identifier: Apache-2.0
// Clocks for the measured programs of bench/, and the wait until an agent has settled. Any thread;
// no memory. The programs print lines "key value"; bench/run reads them.
#pragma once

#include <dirent.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>

namespace bench {

inline uint64_t ReadNs(clockid_t clock) {
  timespec at;
  clock_gettime(clock, &at);
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
}
inline uint64_t WallNs() { return ReadNs(CLOCK_MONOTONIC); }
inline uint64_t ThreadCpuNs() { return ReadNs(CLOCK_THREAD_CPUTIME_ID); }
inline uint64_t ProcessCpuNs() { return ReadNs(CLOCK_PROCESS_CPUTIME_ID); }

// Waits in poll(), as a service does: an agent that starts late starts here.
inline void Settle(int milliseconds) {
  const uint64_t end_ns = WallNs() + static_cast<uint64_t>(milliseconds) * 1'000'000;
  while (WallNs() < end_ns) poll(nullptr, 0, 20);
}

// Threads of this process, to tell whether an agent's is among them.
inline int CountThreads() {
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return -1;
  int count = -2;  // "." and ".."
  while (readdir(tasks) != nullptr) ++count;
  closedir(tasks);
  return count;
}

}  // namespace bench
