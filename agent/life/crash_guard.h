// SPDX-License-Identifier: Apache-2.0
// Keeps the agent off where it may have done harm: a page that a program's processes share
// remembers how the last one ended. After kMaxEarlyEnds ends in a row within kHealthyMs of the
// agent's start, or one while a thread was inside the agent's code, the agent starts switched off
// and says so; what the page says expires after kExpiryMs.
//
// The page is a System V shared memory segment, keyed by user and program: it outlives any death,
// needs no directory, and cannot be truncated under those who have it mapped, as a file can (that
// kills by SIGBUS). It stays until the machine or the container's sandbox is started again. A
// regular exit leaves its mark by one store; a child that takes the tree over (daemons) goes on
// with the page. Agent thread, but for the words that handlers and exit touch.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace sonde::life {

class CrashGuard {
 public:
  static constexpr int64_t kHealthyMs = 10'000;
  static constexpr int64_t kExpiryMs = 600'000;
  static constexpr uint32_t kMaxEarlyEnds = 5;

  // Reads what the last process left and writes itself in. No segment to be had: no guard, no harm.
  // `taken_over`: this process goes on with the tree of one that ended. `executable` is a path.
  void Open(const std::string& executable, bool taken_over, int64_t now_unix_ms);

  // Not empty: the agent must stay off, and this says why.
  [[nodiscard]] const std::string& verdict() const { return verdict_; }

  // After kHealthyMs the early ends are forgotten.
  void Tick(int64_t now_unix_ms);

 private:
  struct Page;
  static Page* Attach(const std::string& executable);
  static bool IsThisProcess(const Page& page);
  void Judge(Page* page, bool taken_over, int64_t now_unix_ms);

  std::string verdict_;
  int64_t started_unix_ms_ = 0;
  bool healthy_ = false;
};

// The agent is out of the way for good: whatever becomes of the process now, it was not us, and
// nothing is done at its exit. Any thread.
void RetireCrashGuard();

// In a fork child: the page is the parent's.
void CrashGuardAfterFork();

}  // namespace sonde::life
