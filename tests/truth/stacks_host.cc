// SPDX-License-Identifier: Apache-2.0
// A program that allocates on millions of call stacks: more than the agent has room for. For each
// number on stdin it goes on for so many milliseconds and prints its books so far, "BYTES OBJECTS
// LIVE_BYTES LIVE_OBJECTS"; it ends with stdin.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <vector>

// Neither inlined nor merged with one that looks the same: its frame is to be on the stack.
#ifdef __clang__
#define OWN_FRAME __attribute__((noinline))
#else
#define OWN_FRAME __attribute__((noipa))
#endif

namespace {

constexpr int kTurns = 22;  // 2^22 stacks
constexpr size_t kLive = 1 << 15;

void* Left(uint64_t turns, int left, size_t size);
void* Right(uint64_t turns, int left, size_t size);

OWN_FRAME void* Turn(uint64_t turns, int left, size_t size) {
  void* const block = left == 0          ? malloc(size)
                      : (turns & 1) != 0 ? Left(turns >> 1, left - 1, size)
                                         : Right(turns >> 1, left - 1, size);
  asm volatile("" : : "r"(block) : "memory");
  return block;
}
OWN_FRAME void* Left(uint64_t turns, int left, size_t size) {
  void* const block = Turn(turns, left, size);
  asm volatile("" : : "r"(block) : "memory");
  return block;
}
OWN_FRAME void* Right(uint64_t turns, int left, size_t size) {
  void* const block = Turn(turns, left, size);
  asm volatile("" : : "r"(block), "i"(1) : "memory");
  return block;
}

uint64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

struct Block {
  void* at = nullptr;
  size_t size = 0;
};

class Program {
 public:
  void RunFor(uint64_t ms) {
    for (const uint64_t end_ms = NowMs() + ms; NowMs() < end_ms;) {
      for (int i = 0; i < 100; ++i) ReplaceOne();
    }
  }
  void Print() const {
    printf("%ju %ju %ju %ju\n", static_cast<uintmax_t>(bytes_), static_cast<uintmax_t>(objects_),
           static_cast<uintmax_t>(live_bytes_), static_cast<uintmax_t>(live_objects_));
    fflush(stdout);
  }

 private:
  void ReplaceOne() {
    random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
    Block& block = live_[random_ >> 32 & (kLive - 1)];
    if (block.at != nullptr) live_bytes_ -= block.size, --live_objects_;
    free(block.at);
    block.size = 512 + (random_ >> 50 & 1023);
    block.at = Turn(random_, kTurns, block.size);
    if (block.at == nullptr) abort();
    bytes_ += block.size, ++objects_;
    live_bytes_ += block.size, ++live_objects_;
  }

  std::vector<Block> live_ = std::vector<Block>(kLive);
  uint64_t random_ = 88172645463325252;
  uint64_t bytes_ = 0, objects_ = 0, live_bytes_ = 0, live_objects_ = 0;
};

}  // namespace

int main() {
  Program program;
  uintmax_t ms = 0;
  while (scanf("%ju", &ms) == 1) {
    program.RunFor(ms);
    program.Print();
  }
  return 0;
}
