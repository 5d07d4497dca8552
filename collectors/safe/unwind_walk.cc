// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/unwind_walk.h"

namespace sonde {
namespace {

// Makes the page of `address` part of the readable window. Async-signal-safe.
bool MakeReadable(WalkState& walk, uint64_t address) {
  const uint64_t page = address & ~(kPageSize - 1);
  if (!PageReadable(page)) return false;
  if (page == walk.readable_high) {
    walk.readable_high = page + kPageSize;
  } else if (page + kPageSize == walk.readable_low) {
    walk.readable_low = page;
  } else {
    walk.readable_low = page;
    walk.readable_high = page + kPageSize;
  }
  return true;
}

}  // namespace

// Reads an aligned word of stack, or sets the walk's end. Async-signal-safe.
bool ReadWord(WalkState& walk, uint64_t address, uint64_t* value) {
  if (address % kWord != 0) {
    walk.end = StackEnd::kBadFrame;
    return false;
  }
  if (address < walk.readable_low || address >= walk.readable_high) {
    if (walk.copy != nullptr || !MakeReadable(walk, address)) {
      walk.end = StackEnd::kUnreadable;
      return false;
    }
  }
  *value = walk.copy == nullptr ? Load(address) : LoadFromCopy(*walk.copy, address);
  return true;
}

// Async-signal-safe.
bool ReadGreg(WalkState& walk, unsigned reg, uint64_t* value) {
  const uint64_t address = walk.gregs + reg * kWord;
  if (walk.gregs_on_stack) return ReadWord(walk, address, value);
  *value = Load(address);
  return true;
}

// Whether the word at `slot` is a return address: code is known before it that ends in a call.
// Async-signal-safe.
bool IsReturnAddress(WalkState& walk, uint64_t slot, uint64_t* value) {
  return ReadWord(walk, slot, value) && InKnownCode(walk, *value - 1) && FollowsCall(walk, *value);
}

}  // namespace sonde
