// SPDX-License-Identifier: Apache-2.0
// Lets a fork of the host wait while the agent's thread is inside the host's allocator. A call into
// tcmalloc allocates, what is allocated may be sampled, and the sample's stack is walked under a
// lock of the loader's (dl_iterate_phdr) that nobody resets in a child: a service of one thread,
// which may fork whenever it likes without the agent, could have children that wait for that lock
// for good.
//
// A handler of pthread_atfork that is registered late is the first to be called, before the
// allocator's own takes the allocator's locks, so that the agent's thread can go on while the fork
// waits. Forks that began before the handler was there are told by the handler that has been there
// since the agent was loaded: while there is one, nothing is held. What forks by system call or
// vfork gets no handler called, neither ours nor the allocator's.
//
// Constant-initialised means not held. No memory. A fork waits kHoldNs at most.
#pragma once

#include <stdint.h>

namespace sonde::life {

class ForkHold {
 public:
  static constexpr uint64_t kHoldNs = 1'000'000'000;

  // Agent thread only. The first one of a process registers the handler, and takes 50 ms.
  ForkHold();
  ~ForkHold();
  ForkHold(const ForkHold&) = delete;
  ForkHold& operator=(const ForkHold&) = delete;

  // False: the host is forking, again and again. Nothing is held.
  [[nodiscard]] bool held() const { return held_; }

 private:
  bool held_ = false;
};

// From the handlers that were registered when the agent was loaded. Any thread.
void ForkBegins();
void ForkIsOver();
void ForkHoldInChild();

}  // namespace sonde::life
