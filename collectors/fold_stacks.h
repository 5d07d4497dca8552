// SPDX-License-Identifier: Apache-2.0
// Stacks of the cold side, each kept once however many readers' counts refer to it. Not
// thread-safe: agent thread only. Memory: about depth × 8 + 80 bytes a stack, given back with the
// last reference; its frames then as soon as nobody shares them either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "collectors/shared_frames.h"

namespace sonde {

class InternedStacks {
 public:
  // The id of this stack, with one reference more.
  uint32_t Intern(std::span<const uint64_t> frames, uint16_t flags, uint64_t hash);
  // One reference more, one less.
  void Retain(uint32_t id) { ++entries_[id].references; }
  void Release(uint32_t id);

  std::span<const uint64_t> frames(uint32_t id) const { return entries_[id].frames; }
  // For who needs them for longer than the reference is held.
  SharedFrames Share(uint32_t id) const { return entries_[id].frames; }
  uint16_t flags(uint32_t id) const { return entries_[id].flags; }
  uint64_t hash(uint32_t id) const { return entries_[id].hash; }

  size_t size() const { return by_hash_.size(); }
  size_t memory_bytes() const { return memory_bytes_; }
  // What a stack of this depth takes, for deciding before taking it.
  static size_t BytesFor(size_t depth);

 private:
  struct Entry {
    SharedFrames frames;
    uint64_t hash = 0;
    uint32_t references = 0;
    uint16_t flags = 0;
  };

  uint32_t Find(std::span<const uint64_t> frames, uint16_t flags, uint64_t hash) const;

  std::vector<Entry> entries_;
  std::vector<uint32_t> unused_;  // ids to be given out again
  std::unordered_multimap<uint64_t, uint32_t> by_hash_;
  size_t memory_bytes_ = 0;
};

}  // namespace sonde
