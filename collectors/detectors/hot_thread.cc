// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_thread.h"

#include <algorithm>

namespace sonde {

// Of the latest `window_ns`; 0 when the points do not reach back that far.
double HotThreads::ShareOver(const std::deque<Point>& points, uint64_t window_ns) {
  const Point& last = points.back();
  for (auto it = points.rbegin(); it != points.rend(); ++it) {
    const uint64_t span_ns = last.at_ns - it->at_ns;
    if (span_ns < window_ns) continue;
    return static_cast<double>(last.cpu_ns - it->cpu_ns) / static_cast<double>(span_ns);
  }
  return 0;
}

// One point beyond the window is kept. A thread that was idle in its last interval starts anew.
void HotThreads::Trim(Track* track) const {
  std::deque<Point>& points = track->points;
  const uint64_t keep_ns = std::max(options_.min_ns, kCoolNs);
  while (points.size() > 2 && points.back().at_ns - points[1].at_ns >= keep_ns) points.pop_front();
  if (track->hot || points.size() < 2) return;
  const Point& before = points[points.size() - 2];
  const uint64_t span_ns = points.back().at_ns - before.at_ns;
  const uint64_t used_ns = points.back().cpu_ns - before.cpu_ns;
  if (static_cast<double>(used_ns) < options_.share / 2 * static_cast<double>(span_ns)) {
    points = {points.back()};
  }
}

void HotThreads::Start(const ThreadKey& key, Track* track) const {
  auto first = track->points.rbegin();
  while (track->points.back().at_ns - first->at_ns < options_.min_ns) ++first;
  track->hot = true;
  track->cpu_at_start_ns = first->cpu_ns;
  track->episode = {};
  track->episode.key = key;
  track->episode.since_ns = first->at_ns;
}

// Brings a hot thread's episode up to date. False: it has cooled down.
bool HotThreads::Continue(Track* track) const {
  const Point& last = track->points.back();
  HotEpisode& episode = track->episode;
  episode.name = track->name;
  episode.last_ns = last.at_ns;
  const bool cool = last.at_ns - episode.since_ns > kCoolNs &&
                    ShareOver(track->points, kCoolNs) < options_.share / 2;
  if (!cool) {
    episode.cpu_ns = last.cpu_ns - track->cpu_at_start_ns;
    return true;
  }
  // It ended with its last busy interval.
  size_t end = track->points.size() - 1;
  const auto busy = [&](size_t i) {
    const Point& a = track->points[i - 1];
    const Point& b = track->points[i];
    return static_cast<double>(b.cpu_ns - a.cpu_ns) >=
           options_.share / 2 * static_cast<double>(b.at_ns - a.at_ns);
  };
  while (end > 1 && !busy(end)) --end;
  episode.until_ns = track->points[end].at_ns;
  episode.cpu_ns = track->points[end].cpu_ns - track->cpu_at_start_ns;
  track->hot = false;
  track->points = {last};
  return false;
}

// The thread is gone; it was last seen at its last point.
HotEpisode HotThreads::Ended(Track* track) {
  track->episode.until_ns = track->points.back().at_ns;
  track->episode.ended = true;
  return track->episode;
}

void HotThreads::Add(const ThreadUse& use, std::vector<HotEpisode>* out) {
  Track& track = tracks_[use.key];
  track.look = look_;
  track.name = use.name;
  if (!track.points.empty() && use.cpu_ns < track.points.back().cpu_ns) {
    // The tid was given to another thread.
    if (track.hot) out->push_back(Ended(&track));
    track = {};
    track.look = look_;
    track.name = use.name;
  }
  if (track.points.empty() || use.at_ns > track.points.back().at_ns) {
    track.points.push_back({use.at_ns, use.cpu_ns});
  }
  Trim(&track);
  if (!track.hot && ShareOver(track.points, options_.min_ns) >= options_.share) {
    Start(use.key, &track);
  }
  if (!track.hot) return;
  Continue(&track);
  out->push_back(track.episode);
}

std::vector<HotEpisode> HotThreads::Observe(std::span<const ThreadUse> threads) {
  std::vector<HotEpisode> episodes;
  ++look_;
  for (const ThreadUse& use : threads) Add(use, &episodes);
  for (auto it = tracks_.begin(); it != tracks_.end();) {
    Track& track = it->second;
    if (track.look == look_) {
      ++it;
      continue;
    }
    if (track.hot) episodes.push_back(Ended(&track));
    it = tracks_.erase(it);
  }
  return episodes;
}

}  // namespace sonde
