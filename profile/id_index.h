// SPDX-License-Identifier: Apache-2.0
// Finds things by content that lie in a vector of somebody else's, each by its position there: the
// strings of a table, the locations of a profile. Used by the builder, for which one node a thing
// in a std::unordered_map was most of the work. Not thread-safe. Memory: 8 bytes a slot, at most 24
// a thing while it grows. Things are never taken out.
//
//   slots_   [hash, id + 1][free][hash, id + 1] ...      open addressing, at most three quarters
//   full
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sonde {

class IdIndex {
 public:
  static constexpr uint32_t kNotFound = UINT32_MAX;

  // The id for which `is(id)` among those that were put in with this hash.
  template <class Is>
  uint32_t Find(uint64_t hash, const Is& is) const {
    if (slots_.empty()) return kNotFound;
    for (size_t at = PlaceOf(hash);; at = Next(at)) {
      const Slot& slot = slots_[at];
      if (slot.id_plus_one == 0) return kNotFound;
      if (slot.hash == Short(hash) && is(slot.id_plus_one - 1)) return slot.id_plus_one - 1;
    }
  }

  // Room for so many at once: who knows beforehand spares the growing. Throws std::bad_alloc.
  void Reserve(size_t count) {
    size_t slots = kFirstSlots;
    while (count > slots / 4 * 3) slots *= 2;
    if (slots > slots_.size()) Rebuild(slots);
  }

  // Throws std::bad_alloc and leaves the index as it was. `id` is not in it yet.
  void Insert(uint64_t hash, uint32_t id) {
    if (used_ >= slots_.size() / 4 * 3) Grow();
    Put(Short(hash), id + 1);
    ++used_;
  }

 private:
  struct Slot {
    uint32_t hash = 0;
    uint32_t id_plus_one = 0;
  };
  static constexpr size_t kFirstSlots = 16;

  // Multipliers leave their best bits at the top.
  static uint32_t Short(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }
  size_t PlaceOf(uint64_t hash) const { return Short(hash) & (slots_.size() - 1); }
  size_t Next(size_t at) const { return (at + 1) & (slots_.size() - 1); }

  void Put(uint32_t hash, uint32_t id_plus_one) {
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at].id_plus_one != 0) at = Next(at);
    slots_[at] = {hash, id_plus_one};
  }

  void Grow() { Rebuild(slots_.empty() ? kFirstSlots : slots_.size() * 2); }

  void Rebuild(size_t slots) {
    std::vector<Slot> old(slots);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.id_plus_one != 0) Put(slot.hash, slot.id_plus_one);
    }
  }

  std::vector<Slot> slots_;  // a power of two
  size_t used_ = 0;
};

// Spreads every bit of what it is given, the last included, over the upper half.
inline uint64_t MixHash(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 29);
}

}  // namespace sonde
