// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_stacks.h"

#include <algorithm>
#include <utility>

namespace sonde {
namespace {

constexpr uint32_t kNotFound = UINT32_MAX;

}  // namespace

size_t InternedStacks::BytesFor(size_t depth) {
  constexpr size_t kHashNode = 40;
  return SharedFrames::BytesFor(depth) + sizeof(Entry) + kHashNode;
}

uint32_t InternedStacks::Find(std::span<const uint64_t> frames, uint16_t flags,
                              uint64_t hash) const {
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto i = begin; i != end; ++i) {
    const Entry& entry = entries_[i->second];
    if (entry.flags == flags && std::ranges::equal(this->frames(i->second), frames)) {
      return i->second;
    }
  }
  return kNotFound;
}

uint32_t InternedStacks::Intern(std::span<const uint64_t> frames, uint16_t flags, uint64_t hash) {
  uint32_t id = Find(frames, flags, hash);
  if (id == kNotFound) {
    if (unused_.empty()) {
      entries_.emplace_back();
      unused_.reserve(entries_.size());  // Release must not need memory
      unused_.push_back(static_cast<uint32_t>(entries_.size() - 1));
    }
    id = unused_.back();  // stays unused if there is no memory for the rest
    SharedFrames copy(frames);
    by_hash_.emplace(hash, id);
    entries_[id] = {std::move(copy), hash, 0, flags};
    unused_.pop_back();
    memory_bytes_ += BytesFor(frames.size());
  }
  ++entries_[id].references;
  return id;
}

void InternedStacks::Release(uint32_t id) {
  Entry& entry = entries_[id];
  if (--entry.references != 0) return;
  const auto [begin, end] = by_hash_.equal_range(entry.hash);
  by_hash_.erase(std::find_if(begin, end, [id](const auto& node) { return node.second == id; }));
  memory_bytes_ -= BytesFor(entry.frames.size());
  entry = {};
  unused_.push_back(id);
}

}  // namespace sonde
