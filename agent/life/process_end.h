// SPDX-License-Identifier: Apache-2.0
// Whether a process has ended: gone, a zombie that nobody has collected yet, or a pid that is
// somebody else's by now. A process of another user is alive. Raw system calls only; agent thread,
// or a hook's slow path.
#pragma once

#include <cstdint>

namespace sonde::life {

bool ProcessHasEnded(int pid, uint64_t start_ticks);

// Asks whether the main thread of this process has left, once a second for as long as the agent
// lives: one read of a file that is kept open and costs the kernel next to nothing, and only when
// that looks like an end, what ProcessHasEnded reads. Agent thread only.
class MainThreadWatch {
 public:
  MainThreadWatch();
  ~MainThreadWatch();
  MainThreadWatch(const MainThreadWatch&) = delete;
  MainThreadWatch& operator=(const MainThreadWatch&) = delete;

  [[nodiscard]] bool HasLeft(int pid) const;

 private:
  long fd_;
};

}  // namespace sonde::life
