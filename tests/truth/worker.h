// SPDX-License-Identifier: Apache-2.0
// What a thread of the truth host allocates with: every call goes through the function At<N> of its
// call site, whose address in a profile says which site it was, and into the thread's books.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/truth/books.h"

namespace truth {

enum class Op {
  kMalloc,
  kCalloc,
  kRealloc,
  kReallocarray,
  kMemalign,
  kAlignedAlloc,
  kPosixMemalign,
  kNew
};

struct Block {
  void* at = nullptr;
  size_t size = 0;
  int site = 0;
};

class Worker {
 public:
  Worker(int shape, uint64_t seed, uint64_t interval)
      : first_site_(shape * kSitesPerShape), random_(seed), books_(interval) {}

  // By one of the shape's sites: 1/2, 1/3 and 1/6 of the calls, and one in a thousand.
  Block Allocate(size_t size, Op op = Op::kMalloc, size_t alignment = 0);
  // Stays of its site; null is not counted.
  void Reallocate(Block* block, size_t size);
  void Free(const Block& block);
  void Keep(const Block& block) { kept_.push_back(block); }

  uint64_t Random();
  uint64_t Below(uint64_t limit) { return Random() % limit; }

  Books& books() { return books_; }

 private:
  int PickSite();

  int first_site_;
  uint64_t random_;
  Books books_;
  std::vector<Block> kept_;
};

}  // namespace truth
