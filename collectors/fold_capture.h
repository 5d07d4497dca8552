// SPDX-License-Identifier: Apache-2.0
// Open readers: everything that was counted while one was a sink of the folder. Any number of them
// overlap, each has its own sums; a stack that several have seen is kept once. Not thread-safe:
// agent thread only. Memory: all captures of a CaptureMemory together stay below its limit. What is
// short then is given up by whoever has most, the lighter half of its stacks, counted as lost: a
// large capture never takes the room of a small one, and what is heavy or new stays in all of them.
//
//   CaptureMemory memory(2 << 20);                                 // outlives its captures
//   Capture capture(now, &memory);
//   folder.AddSink(&capture, now);                                 // begins here
//   …
//   folder.Fold(now); FoldProfile profile = capture.Collect();     // any number of times
//   folder.RemoveSink(&capture, now);
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "collectors/fold_counts.h"
#include "collectors/fold_sink.h"

namespace sonde {

class Capture;

class CaptureMemory {
 public:
  explicit CaptureMemory(size_t max_bytes) : max_bytes_(max_bytes) {}
  CaptureMemory(const CaptureMemory&) = delete;
  CaptureMemory& operator=(const CaptureMemory&) = delete;

  [[nodiscard]] size_t memory_bytes() const { return stacks_.memory_bytes() + counts_bytes_; }
  [[nodiscard]] size_t max_bytes() const { return max_bytes_; }

 private:
  friend class Capture;

  bool MakeRoom(size_t bytes);

  const size_t max_bytes_;
  InternedStacks stacks_;
  size_t counts_bytes_ = 0;
  std::vector<Capture*> captures_;
};

class Capture : public FoldSink {
 public:
  static constexpr size_t kMaxPieces = 32;

  Capture(uint64_t opened_ns, CaptureMemory* memory);
  // With memory of its own.
  Capture(uint64_t opened_ns, size_t max_bytes);
  ~Capture() override;
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t now_ns) override { pieces_.back()->to_ns = now_ns; }

  // What comes from the next fold on is in another piece; the last of kMaxPieces takes the rest.
  void Cut();

  // One part between two cuts. CLOCK_MONOTONIC.
  struct Piece {
    Piece(uint64_t start_ns, InternedStacks* stacks)
        : from_ns(start_ns), to_ns(start_ns), counts(stacks) {}
    uint64_t from_ns;
    uint64_t to_ns;  // of the last fold
    FoldCounts counts;
  };
  [[nodiscard]] std::span<const std::unique_ptr<Piece>> pieces() const { return pieces_; }
  // From the opening to the last fold, copied into one.
  [[nodiscard]] FoldProfile Collect() const;
  // Without regard to what it shares with others.
  [[nodiscard]] size_t memory_bytes() const;

 private:
  friend class CaptureMemory;

  template <typename Function>
  void Change(FoldCounts* counts, Function&& change);
  void ShedLightHalf();

  const std::unique_ptr<CaptureMemory> own_memory_;
  CaptureMemory* const memory_;
  std::vector<std::unique_ptr<Piece>> pieces_;  // at least one
};

}  // namespace sonde
