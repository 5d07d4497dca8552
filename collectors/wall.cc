// SPDX-License-Identifier: Apache-2.0
#include "collectors/wall.h"

#include <algorithm>
#include <iterator>

#include "collectors/host_threads.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/sys.h"

namespace sonde {

CpuMeter::CpuMeter(uint64_t* sum_ns) : sum_ns_(sum_ns) { ThreadCpuTime(sys::Gettid(), &begin_ns_); }

uint64_t CpuMeter::Used() const {
  uint64_t now_ns = 0;
  ThreadCpuTime(sys::Gettid(), &now_ns);
  return now_ns > begin_ns_ ? now_ns - begin_ns_ : 0;
}

// Null: it runs, or there is no room for another stack.
WallWait* Wall::PlaceOf(int tid, WallThread* thread, ThreadReader* reader) {
  ThreadRecord record;
  record.tid = tid;
  if (!reader->ReadWaiting(&record) || !Waits(record.where)) return nullptr;
  const std::pair key{record.where.number, std::move(record.frames)};
  const auto known = thread->waits.find(key);
  if (known != thread->waits.end()) return &known->second;
  if (stacks_ >= max_stacks_) return nullptr;
  ++stacks_;
  return &thread->waits[key];
}

void Wall::LookAt(int tid, uint64_t now_ns, ThreadReader* reader) {
  uint64_t cpu_ns = 0;
  if (!reader->CpuTime(tid, &cpu_ns)) return;
  const auto [at, is_new] = tracks_.try_emplace(tid);
  Track& track = at->second;
  WallThread& thread = threads_[tid];
  if (is_new || cpu_ns < track.cpu_ns) {  // or another thread with this tid
    thread.name = reader->files().Stat(tid).name;
    thread.unseen_ns += track.carried_ns;
    track = {.at_ns = now_ns, .cpu_ns = cpu_ns};
  }
  const uint64_t wall_ns = now_ns - track.at_ns;
  const uint64_t on_ns = std::min(cpu_ns - track.cpu_ns, wall_ns);
  const bool moved = is_new || cpu_ns != track.cpu_ns || track.place == nullptr;
  thread.on_cpu_ns += on_ns;
  track.carried_ns += wall_ns - on_ns;
  track.at_ns = now_ns;
  track.cpu_ns = cpu_ns;
  track.round = rounds_;
  if (moved) track.place = PlaceOf(tid, &thread, reader);
  if (track.place == nullptr) return;
  ++track.place->looks;
  track.place->ns += track.carried_ns;
  track.carried_ns = 0;
}

// Threads that ended keep what they had.
void Wall::EndGone() {
  std::erase_if(tracks_, [this](const auto& item) {
    if (item.second.round == rounds_) return false;
    threads_[item.first].unseen_ns += item.second.carried_ns;
    return true;
  });
}

uint64_t Wall::Observe(uint64_t now_ns, ThreadReader* reader) {
  const CpuMeter meter(&agent_cpu_ns_);
  ++rounds_;
  for (const int tid : reader->files().Tids()) {
    if (tid != skip_tid_) LookAt(tid, now_ns, reader);
  }
  EndGone();
  // By chance, between half a period and one and a half: what a thread does every second, or ten
  // times in one, would else be seen at one and the same place.
  const uint64_t pause_ns = period_ns_ / 2 + RandomPhase(period_ns_);
  return now_ns + std::max(meter.AffordableNs(kCpuShare), pause_ns);
}

bool Wall::StandStill(uint64_t now_ns) {
  const auto is_known = [](const auto& item) { return item.second.place != nullptr; };
  if (tracks_.empty() || !std::ranges::all_of(tracks_, is_known)) return false;
  for (auto& [tid, track] : tracks_) {
    ++track.place->looks;
    track.place->ns += now_ns - track.at_ns;
    track.at_ns = now_ns;
  }
  return true;
}

// But where the thread still waits: that place is not read again while its CPU clock stands still.
void Wall::ForgetWaits(int tid, WallThread* thread) {
  const auto track = tracks_.find(tid);
  const WallWait* const here = track != tracks_.end() ? track->second.place : nullptr;
  stacks_ -=
      std::erase_if(thread->waits, [here](const auto& wait) { return &wait.second != here; });
  for (auto& [place, wait] : thread->waits) wait = {};
  thread->on_cpu_ns = 0;
  thread->unseen_ns = 0;
}

void Wall::Drain(const Visitor& visit) {
  for (auto it = threads_.begin(); it != threads_.end();) {
    visit(it->first, it->second);
    ForgetWaits(it->first, &it->second);
    it = tracks_.contains(it->first) ? std::next(it) : threads_.erase(it);
  }
}

void Wall::Finish() {
  ++rounds_;
  EndGone();
  --rounds_;
}

}  // namespace sonde
