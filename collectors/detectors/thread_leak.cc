// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/thread_leak.h"

#include <utility>

namespace sonde {

void ThreadLeaks::Configure(const ThreadLeakOptions& options) {
  if (options.after_ns == options_.after_ns) return;
  options_ = options;
  tracks_.clear();
  sites_.clear();
  window_ns_ = 0;
}

// More than one window may have passed while nobody looked.
void ThreadLeaks::Roll(uint64_t now_ns) {
  if (window_ns_ == 0) window_ns_ = now_ns;
  for (; now_ns - window_ns_ >= options_.after_ns; window_ns_ += options_.after_ns) {
    for (auto& [key, site] : sites_) {
      site.windows.push_back(std::exchange(site.open, {}));
      if (site.windows.size() > kWindows) site.windows.pop_front();
    }
  }
}

void ThreadLeaks::Add(uint64_t now_ns, const ThreadSeen& seen) {
  const auto [place, is_new] = tracks_.try_emplace(seen.tid);
  Track& track = place->second;
  const SiteKey site{seen.pid, seen.creator};
  // Another thread of that tid: of another site, or its clock began anew.
  if (is_new || track.site != site || seen.cpu_ns < track.cpu_ns) {
    if (track.old) ++sites_[track.site].open.left;
    track = {site, now_ns, now_ns, seen.cpu_ns, 0, false};
  }
  if (seen.cpu_ns != track.cpu_ns) track.quiet_since_ns = now_ns;
  track.cpu_ns = seen.cpu_ns;
  track.look = look_;
  if (track.old || now_ns - track.born_ns < options_.after_ns) return;
  track.old = true;
  ++sites_[site].open.entered;
}

void ThreadLeaks::RemoveGone() {
  for (auto it = tracks_.begin(); it != tracks_.end();) {
    if (it->second.look == look_) {
      ++it;
      continue;
    }
    if (it->second.old) ++sites_[it->second.site].open.left;
    it = tracks_.erase(it);
  }
  std::erase_if(sites_, [](const auto& item) {
    for (const Window& window : item.second.windows) {
      if (window.entered + window.left != 0) return false;
    }
    return item.second.open.entered + item.second.open.left == 0;
  });
}

bool ThreadLeaks::Grows(const Site& site, ThreadLeak* leak) {
  if (site.windows.size() < kWindows) return false;
  uint64_t later_half = 0;
  for (size_t i = 0; i < kWindows; ++i) {
    const Window& window = site.windows[i];
    if (window.entered == 0) return false;
    leak->entered += window.entered;
    leak->left += window.left;
    if (i >= kWindows / 2) later_half += window.entered;
  }
  return leak->entered >= kMinEntered && leak->left * 5 <= leak->entered &&
         later_half * 2 >= leak->entered;
}

void ThreadLeaks::Count(uint64_t now_ns, std::map<SiteKey, ThreadLeak>* leaks) const {
  for (const auto& [tid, track] : tracks_) {
    const auto leak = leaks->find(track.site);
    if (leak == leaks->end()) continue;
    ++leak->second.live;
    if (!track.old || now_ns - track.quiet_since_ns < options_.after_ns) continue;
    ++leak->second.idle;
    if (leak->second.idle_tid == 0) leak->second.idle_tid = tid;
  }
}

std::vector<ThreadLeak> ThreadLeaks::Observe(uint64_t now_ns, std::span<const ThreadSeen> threads) {
  Roll(now_ns);
  ++look_;
  for (const ThreadSeen& seen : threads) {
    if (seen.creator != 0) Add(now_ns, seen);
  }
  RemoveGone();
  std::map<SiteKey, ThreadLeak> leaks;
  std::map<SiteKey, uint64_t> old;
  for (const auto& [key, site] : sites_) {
    ThreadLeak leak;
    leak.pid = key.first;
    leak.creator = key.second;
    leak.since_ns = window_ns_ - kWindows * options_.after_ns;
    if (Grows(site, &leak)) leaks.emplace(key, leak);
  }
  for (const auto& [tid, track] : tracks_) old[track.site] += track.old ? 1 : 0;
  Count(now_ns, &leaks);
  std::vector<ThreadLeak> found;
  for (const auto& [key, leak] : leaks) {
    if (leak.idle * 5 >= old[key] * 4 && leak.idle != 0) found.push_back(leak);
  }
  return found;
}

}  // namespace sonde
