// SPDX-License-Identifier: Apache-2.0
#include "collectors/stack_copy.h"

namespace sonde {

void StackCopy::Clear() {
  if (pages_ == nullptr) return;
  for (size_t i = 0; i < kPages; ++i) pages_[i].state = State::kEmpty;
}

bool StackCopy::ReadWord(uint64_t address, uint64_t* value) {
  if (address % sizeof(uint64_t) != 0) return false;
  if (pages_ == nullptr) pages_.reset(new Page[kPages]());
  const uint64_t start = address / kPageSize * kPageSize;
  Page& page = pages_[address / kPageSize % kPages];
  if (page.state == State::kEmpty || page.address != start) {
    page.address = start;
    page.state =
        memory_.Read(start, page.words, sizeof(page.words)) ? State::kRead : State::kUnreadable;
  }
  if (page.state != State::kRead) return false;
  *value = page.words[address % kPageSize / sizeof(uint64_t)];
  return true;
}

}  // namespace sonde
