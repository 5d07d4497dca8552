// SPDX-License-Identifier: Apache-2.0
#include "tests/truth/worker.h"

#include <malloc.h>
#include <stdlib.h>

#include <array>
#include <new>
#include <utility>

// Neither inlined nor merged with one that looks the same: its frame is to be on the stack.
#ifdef __clang__
#define OWN_FRAME __attribute__((noinline))
#else
#define OWN_FRAME __attribute__((noipa))
#endif

namespace truth {
namespace {

struct Call {
  Op op;
  void* old;
  size_t size;
  size_t alignment;
};

// A function of its own for each site: g++ must neither inline nor merge them, nor leave their
// frames before the allocation.
template <int N>
OWN_FRAME void* At(const Call& call) {
  void* block = nullptr;
  switch (call.op) {
    case Op::kMalloc:
      block = malloc(call.size);
      break;
    case Op::kCalloc:
      block = calloc(1, call.size);
      break;
    case Op::kRealloc:
      block = realloc(call.old, call.size);
      break;
    case Op::kReallocarray:
      block = reallocarray(call.old, 1, call.size);
      break;
    case Op::kMemalign:
      block = memalign(call.alignment, call.size);
      break;
    case Op::kAlignedAlloc:
      block = aligned_alloc(call.alignment, call.size);
      break;
    case Op::kPosixMemalign:
      if (posix_memalign(&block, call.alignment, call.size) != 0) block = nullptr;
      break;
    case Op::kNew:
      block = operator new(call.size, std::nothrow);
      break;
  }
  asm volatile("" : "+r"(block) : "i"(N) : "memory");
  return block;
}

template <int... N>
constexpr auto Table(std::integer_sequence<int, N...>) {
  return std::array<void* (*)(const Call&), sizeof...(N)>{At<N>...};
}
constexpr auto kSiteFunctions = Table(std::make_integer_sequence<int, kSites>());

void* CallSite(int site, const Call& call) {
  return kSiteFunctions[static_cast<size_t>(site)](call);
}

}  // namespace

uint64_t Worker::Random() {
  uint64_t z = random_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

int Worker::PickSite() {
  const uint64_t pick = Below(6000);
  if (pick < 6) return first_site_ + 3;
  if (pick < 3000) return first_site_;
  return first_site_ + (pick < 5000 ? 1 : 2);
}

Block Worker::Allocate(size_t size, Op op, size_t alignment) {
  const int site = PickSite();
  void* const at = CallSite(site, {op, nullptr, size, alignment});
  if (at != nullptr) books_.Allocated(site, size);
  return {at, size, site};
}

void Worker::Reallocate(Block* block, size_t size) {
  void* const at = CallSite(block->site, {Op::kRealloc, block->at, size, 0});
  if (at == nullptr) return;
  if (block->at != nullptr) books_.Freed(block->site, block->size);
  books_.Allocated(block->site, size);
  block->at = at;
  block->size = size;
}

void Worker::Free(const Block& block) {
  if (block.at == nullptr) return;
  books_.Freed(block.site, block.size);
  free(block.at);
}

}  // namespace truth
