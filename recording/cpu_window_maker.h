// SPDX-License-Identifier: Apache-2.0
// Counts of the collectors become the window of a CPU profile: of a live agent's captures and
// recording, and of a region file. Not thread-safe. Memory: the window.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "collectors/coverage.h"
#include "collectors/fold_capture.h"
#include "collectors/fold_counts.h"
#include "collectors/past.h"
#include "profile/address_history.h"
#include "profile/cpu_window.h"

namespace sonde {

class CpuWindowMaker {
 public:
  // UTC = CLOCK_MONOTONIC + utc_offset_ns. Losses belong to process `owner_pid`.
  CpuWindowMaker(const AddressHistory& history, int64_t utc_offset_ns, int owner_pid)
      : history_(history), utc_offset_ns_(utc_offset_ns), owner_pid_(owner_pid) {}

  // In order. Addresses of each belong to what was mapped in its time. Of the recording:
  void AddPiece(const FoldProfile& piece);
  // Of now.
  void AddPiece(const Capture::Piece& piece);
  void AddGaps(const std::vector<Gap>& gaps);
  // What began at `from_ns` may have names of perf maps that were written anew since.
  void AddNewNames(uint64_t from_ns);
  // Its time is that of its pieces; coverage and rate are left to the caller.
  [[nodiscard]] CpuWindow Take() { return std::move(window_); }

 private:
  // CLOCK_MONOTONIC.
  struct Interval {
    uint64_t from_ns;
    uint64_t to_ns;
    bool is_recorded;  // names of generated code are those of then, not of now
  };
  void BeginPiece(const Interval& time);
  // FoldSample and FoldCounts::Entry have these of a stack.
  struct Stack {
    std::span<const uint64_t> frames;
    uint16_t flags;
  };
  void AddSample(const Stack& stack, const FoldThread& thread, uint64_t events, uint64_t amount,
                 const Interval& time);
  [[nodiscard]] bool IsGenerated(int space, uint64_t address) const;
  void AddLoss(const FoldLoss& loss);
  int SpaceOf(int pid, const Interval& time);
  [[nodiscard]] std::vector<Mapping> MappingsAt(int pid, const Interval& time) const;
  [[nodiscard]] int64_t UnixOf(uint64_t time_ns) const;

  const AddressHistory& history_;
  const int64_t utc_offset_ns_;
  const int owner_pid_;
  CpuWindow window_;
  std::map<std::pair<int, uint64_t>, int> by_piece_;  // (pid, start of the piece) → space
};

// Without samples, for what is counted whether CPU time is sampled or not: only the agent's absence
// is a gap.
CpuWindow TimesOf(const Past& past, int64_t utc_offset_ns);

// The whole of it, in one step.
CpuWindow WindowOf(const Past& past, const AddressHistory& history, int64_t utc_offset_ns,
                   int owner_pid);

}  // namespace sonde
