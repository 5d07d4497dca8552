// SPDX-License-Identifier: Apache-2.0
// The host's threads as the kernel lists them, with the CPU time each has used. Agent thread only.
//
// Two sources: the directory /proc/self/task (kept open, so that it outlives a chroot and a
// privilege drop), and each thread's CPU clock, whose clock id follows from its tid. Together they
// cost about half a microsecond a thread. Memory: about 100 bytes a thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace sonde {

struct HostThread {
  std::string name;
  uint64_t cpu_ns = 0;        // used so far
  uint64_t delta_ns = 0;      // used between the last two refreshes
  uint64_t last_busy_ns = 0;  // CLOCK_MONOTONIC of the last refresh with delta_ns > 0
  uint64_t last_seen_ns = 0;
  uint64_t name_read_ns = 0;
  uint64_t name_cpu_ns = 0;  // used when the name was read
  bool is_new = true;        // its name was read once only
};

class HostThreads {
 public:
  // `skip_tid` is the agent's own thread. Opens /proc/self/task; ok() tells whether that worked.
  explicit HostThreads(int skip_tid);
  ~HostThreads();
  HostThreads(const HostThreads&) = delete;
  HostThreads& operator=(const HostThreads&) = delete;

  [[nodiscard]] bool ok() const { return task_fd_ >= 0; }

  // Lists threads, reads clocks, drops threads that ended. What a thread that was not there the
  // last time has used is its delta_ns; of those that were there before us nothing is.
  void Refresh(uint64_t now_ns);

  // The same for one thread, without the list; null, and forgotten, when it has ended.
  const HostThread* RefreshOne(int tid, uint64_t now_ns);

  // Whether the thread has that signal blocked now; false also where it cannot be told.
  [[nodiscard]] bool HasBlocked(int tid, int signal) const;

  // The system call that it waits in now; kNoCall: in none, kCallUnknown: the kernel does not tell.
  static constexpr int kNoCall = -1;
  static constexpr int kCallUnknown = -2;
  [[nodiscard]] int WaitsInCall(int tid) const;

  [[nodiscard]] const std::unordered_map<int, HostThread>& threads() const { return threads_; }

 private:
  bool Update(int tid, uint64_t now_ns);
  static bool MayHaveNewName(const HostThread& thread, uint64_t now_ns);
  long ReadFile(int tid, const char* leaf, char* text, size_t size) const;
  void ReadName(int tid, HostThread* thread, uint64_t now_ns) const;

  int task_fd_ = -1;
  int skip_tid_;
  bool listed_ = false;  // once at least
  std::unordered_map<int, HostThread> threads_;
};

// CPU time of a thread of this process; false when it has ended. One system call.
bool ThreadCpuTime(int tid, uint64_t* ns);

// CPU time of any process, its ended threads included; false when it is gone. One system call.
bool ProcessCpuTime(int pid, uint64_t* ns);

}  // namespace sonde
