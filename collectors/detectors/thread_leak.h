// SPDX-License-Identifier: Apache-2.0
// Which call sites make threads that stay and do nothing, in which process of the tree. Pure: looks
// at the living threads go in, suspicious sites come out; no clock, no system call. Agent thread
// only.
//
// A site is one of one process: workers that are replaced now and then, each with its own pool,
// are none. A thread becomes old at the age `after_ns`. Time is cut into windows of that length. A
// site leaks when over the last kWindows windows threads became old in each of them, kMinEntered in
// all and no fewer in the later half, when at most a fifth as many old ones ended, and when four in
// five of its old threads have used no CPU time for `after_ns`. So a pool that grows to its size,
// one whose threads come and go, and one that works are none. Memory: 80 bytes a thread, 200 a
// site.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace sonde {

struct ThreadSeen {
  int pid = 0;
  int tid = 0;
  uint64_t creator = 0;  // names the site; 0: not known, the thread is left out
  uint64_t cpu_ns = 0;   // used so far
};

struct ThreadLeakOptions {
  uint64_t after_ns = 600'000'000'000;
};

struct ThreadLeak {
  int pid = 0;
  uint64_t creator = 0;
  uint64_t since_ns = 0;  // when the first of these windows began
  uint64_t live = 0;      // threads of the site
  uint64_t idle = 0;      // of them old, without CPU time for `after_ns`
  uint64_t entered = 0;   // became old within the windows
  uint64_t left = 0;      // old ones that ended within them
  int idle_tid = 0;       // one of the idle ones
};

class ThreadLeaks {
 public:
  static constexpr size_t kWindows = 4;
  static constexpr uint64_t kMinEntered = 8;

  // A change begins everything anew.
  void Configure(const ThreadLeakOptions& options);

  // All threads of one moment, several times a window.
  std::vector<ThreadLeak> Observe(uint64_t now_ns, std::span<const ThreadSeen> threads);

 private:
  using SiteKey = std::pair<int, uint64_t>;  // process, creator
  struct Track {
    SiteKey site;
    uint64_t born_ns = 0;
    uint64_t quiet_since_ns = 0;
    uint64_t cpu_ns = 0;
    uint64_t look = 0;
    bool old = false;
  };
  struct Window {
    uint64_t entered = 0;
    uint64_t left = 0;
  };
  struct Site {
    std::deque<Window> windows;  // whole ones, oldest first
    Window open;
  };

  void Roll(uint64_t now_ns);
  void Add(uint64_t now_ns, const ThreadSeen& seen);
  void RemoveGone();
  [[nodiscard]] static bool Grows(const Site& site, ThreadLeak* leak);
  void Count(uint64_t now_ns, std::map<SiteKey, ThreadLeak>* leaks) const;

  ThreadLeakOptions options_;
  std::map<int, Track> tracks_;
  std::map<SiteKey, Site> sites_;
  uint64_t window_ns_ = 0;  // when the open window began
  uint64_t look_ = 0;
};

}  // namespace sonde
