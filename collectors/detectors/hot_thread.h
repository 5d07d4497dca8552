// SPDX-License-Identifier: Apache-2.0
// Which threads burn a core, from when to when. Pure: looks at CPU times go in, episodes come out;
// no clock, no system call. Agent thread only.
//
// A thread is hot once it used `share` of a core over the last `min_ns`; its episode began where
// that window begins. It is over when it used less than half of that over kCoolNs, or has ended.
// Two threads of one name, or of one tid one after the other, are two threads. Memory: 64 bytes a
// thread; for busy ones one point a look of the window.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace sonde {

struct ThreadKey {
  int pid = 0;
  int tid = 0;
  uint64_t born = 0;  // anything that tells two threads with one tid apart
  auto operator<=>(const ThreadKey&) const = default;
};

struct ThreadUse {
  ThreadKey key;
  std::string name;
  uint64_t at_ns = 0;   // when it was looked at
  uint64_t cpu_ns = 0;  // used so far
};

struct HotThreadOptions {
  double share = 0.9;
  uint64_t min_ns = 10'000'000'000;
};

struct HotEpisode {
  ThreadKey key;
  std::string name;
  uint64_t since_ns = 0;
  uint64_t until_ns = 0;  // 0: it goes on
  uint64_t last_ns = 0;   // of the last look
  uint64_t cpu_ns = 0;    // used from since_ns to the end, or to last_ns
  bool ended = false;     // the thread is gone

  [[nodiscard]] double share() const {
    const uint64_t end_ns = until_ns != 0 ? until_ns : last_ns;
    return end_ns > since_ns ? static_cast<double>(cpu_ns) / static_cast<double>(end_ns - since_ns)
                             : 0;
  }
};

class HotThreads {
 public:
  static constexpr uint64_t kCoolNs = 3'000'000'000;

  void Configure(const HotThreadOptions& options) { options_ = options; }

  // All threads of one moment, about once a second. Returns the episodes that go on, and those that
  // ended with this look.
  std::vector<HotEpisode> Observe(std::span<const ThreadUse> threads);

 private:
  struct Point {
    uint64_t at_ns = 0;
    uint64_t cpu_ns = 0;
  };
  struct Track {
    std::string name;
    std::deque<Point> points;  // the window, oldest first; never empty
    bool hot = false;
    HotEpisode episode;
    uint64_t cpu_at_start_ns = 0;
    uint64_t look = 0;
  };

  void Add(const ThreadUse& use, std::vector<HotEpisode>* out);
  void Trim(Track* track) const;
  void Start(const ThreadKey& key, Track* track) const;
  bool Continue(Track* track) const;
  static HotEpisode Ended(Track* track);
  [[nodiscard]] static double ShareOver(const std::deque<Point>& points, uint64_t window_ns);

  HotThreadOptions options_;
  std::map<ThreadKey, Track> tracks_;
  uint64_t look_ = 0;
};

}  // namespace sonde
