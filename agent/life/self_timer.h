// SPDX-License-Identifier: Apache-2.0
// Threads that arm their own CPU timer, because no sweep would find them in time: the first thread
// of a forked child, the threads that such a child makes, and new threads of a host whose threads
// live for milliseconds. Any thread, unless said otherwise.
//
// A timer costs about 3 us, which is little beside a thread of 20 ms and a lot beside one of 20 us.
// So where threads are made by the thousand one in k arms itself, drawn by chance, and each of its
// samples counts for k: what is counted is right on average, and the cost stays bounded.
#pragma once

#include <cstdint>

namespace sonde::life {

// Whether the thread that is about to be made shall arm itself: 0, or how many it then speaks for.
uint32_t DrawSelfArming();

// One thread in so many; 0: none, sweeps find them.
void SetSelfArming(uint32_t one_in);

// Takes a thread slot and a timer for the calling thread. Losses are counted. Keeps errno.
void ArmSelf();

// The same, first thing in a new thread.
void ArmNewThread(uint32_t weight);

// Decides how many threads arm themselves in a root process. Agent thread only.
class SelfArming {
 public:
  static constexpr uint64_t kWindowNs = 100'000'000;
  static constexpr uint64_t kArmsPerSecond = 500;
  static constexpr uint64_t kMaxOneIn = 64;

  // `short_lived`: CPU time goes to threads that no sweep meets. `threads_made`: so far, modulo
  // 2^32.
  void Tick(bool short_lived, uint32_t threads_made, uint64_t now_ns);

 private:
  uint64_t since_ns_ = 0;
  uint32_t threads_made_ = 0;
};

}  // namespace sonde::life
