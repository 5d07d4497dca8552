// SPDX-License-Identifier: Apache-2.0
#include "tests/truth/shapes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace truth {
namespace {

constexpr int kAll = 1 << 30;

// --- sizes -----------------------------------------------------------------------------------

template <size_t kSize>
size_t Fixed(Worker*) {
  return kSize;
}

template <size_t kFrom, size_t kTo>
size_t Uniform(Worker* worker) {
  return kFrom + worker->Below(kTo - kFrom);
}

// From e^kFrom to e^kTo, tenths.
template <int kFrom, int kTo>
size_t LogUniform(Worker* worker) {
  const double u = static_cast<double>(worker->Below(1 << 30)) / (1 << 30);
  return static_cast<size_t>(std::exp((kFrom + u * (kTo - kFrom)) / 10.0));
}

// Rank r of 4096 has a chance of about 1 / r.
size_t Zipf(Worker* worker) { return 8 * LogUniform<0, 83>(worker); }

size_t Bimodal(Worker* worker) { return worker->Below(100) == 0 ? 100'000 : 24; }

using SizeOf = size_t (*)(Worker*);

// --- lifetimes -------------------------------------------------------------------------------

// A stack that grows and shrinks; what is on it at the end stays.
template <SizeOf kSize, Op kOp = Op::kMalloc>
void LastInFirstOut(Worker* worker, int calls) {
  std::vector<Block> stack;
  while (calls > 0) {
    if (stack.empty() || worker->Below(100) < 55) {
      stack.push_back(worker->Allocate(kSize(worker), kOp));
      --calls;
    } else {
      worker->Free(stack.back());
      stack.pop_back();
    }
  }
  for (const Block& block : stack) worker->Keep(block);
}

template <SizeOf kSize, Op kOp = Op::kMalloc>
void FirstInFirstOut(Worker* worker, int calls) {
  std::deque<Block> queue;
  const auto longest = static_cast<size_t>(calls / 5 + 1);
  for (int i = 0; i < calls; ++i) {
    queue.push_back(worker->Allocate(kSize(worker), kOp));
    if (queue.size() <= longest) continue;
    worker->Free(queue.front());
    queue.pop_front();
  }
  for (const Block& block : queue) worker->Keep(block);
}

// A random one of the live blocks is replaced.
template <SizeOf kSize, Op kOp = Op::kMalloc, size_t kAlignment = 0>
void Replaced(Worker* worker, int calls) {
  std::vector<Block> live(static_cast<size_t>(calls / 5 + 1));
  for (int i = 0; i < calls; ++i) {
    Block& block = live[worker->Below(live.size())];
    worker->Free(block);
    block = worker->Allocate(kSize(worker), kOp, kAlignment);
  }
  for (const Block& block : live) worker->Keep(block);
}

// Few entries live for long, most for a moment: the less used half goes when the cache is full.
template <SizeOf kSize>
void Cache(Worker* worker, int calls) {
  std::vector<Block> entries;
  const auto room = static_cast<size_t>(calls / 8 + 2);
  for (int i = 0; i < calls; ++i) {
    entries.push_back(worker->Allocate(kSize(worker)));
    if (entries.size() < room) continue;
    for (size_t k = room / 2; k < entries.size(); ++k) worker->Free(entries[k]);
    entries.resize(room / 2);
  }
  for (const Block& block : entries) worker->Keep(block);
}

template <SizeOf kSize>
void Leaked(Worker* worker, int calls) {
  for (int i = 0; i < calls; ++i) worker->Keep(worker->Allocate(kSize(worker)));
}

// Requests: everything that one allocates goes when it ends, but for its result.
template <SizeOf kSize>
void Arenas(Worker* worker, int calls) {
  std::vector<Block> arena;
  for (int i = 0; i < calls; ++i) {
    arena.push_back(worker->Allocate(kSize(worker)));
    if (arena.size() < 50 && i + 1 < calls) continue;
    worker->Keep(arena.back());
    arena.pop_back();
    for (const Block& block : arena) worker->Free(block);
    arena.clear();
  }
}

// Buffers that double until they are big enough; one in three is trimmed to what it needs.
void GrownByRealloc(Worker* worker, int calls) {
  while (calls > 0) {
    Block block = worker->Allocate(32 + worker->Below(64), Op::kRealloc);
    const size_t wanted = LogUniform<40, 110>(worker);
    while (--calls > 0 && block.size < wanted) worker->Reallocate(&block, block.size * 2);
    if (worker->Below(3) == 0) worker->Reallocate(&block, wanted);
    if (worker->Below(4) == 0) {
      worker->Keep(block);
    } else {
      worker->Free(block);
    }
  }
}

void AlignedInEveryWay(Worker* worker, int calls) {
  Replaced<Uniform<1, 3000>, Op::kMemalign, 64>(worker, calls / 3 + 1);
  Replaced<Uniform<1, 3000>, Op::kPosixMemalign, 256>(worker, calls / 3 + 1);
  Replaced<Uniform<1, 3000>, Op::kAlignedAlloc, 4096>(worker, calls / 3 + 1);
}

// Blocks of one thread are freed by another; each worker hands half of its own to the next one.
struct Exchange {
  std::mutex mutex;
  std::deque<Block> blocks;
};
Exchange* const g_exchange = new Exchange;

void FreedByOthers(Worker* worker, int calls) {
  for (int i = 0; i < calls; ++i) {
    const Block mine = worker->Allocate(Uniform<16, 2000>(worker));
    Block others;
    {
      const std::lock_guard lock(g_exchange->mutex);
      g_exchange->blocks.push_back(mine);
      if (worker->Below(10) < 8) {
        others = g_exchange->blocks.front();
        g_exchange->blocks.pop_front();
      }
    }
    worker->Free(others);
  }
}

// Threads that live for a few blocks and free them while they end.
struct ThreadBlocks {
  Worker* worker;
  std::vector<Block> blocks;
};

void FreeAtThreadExit(void* value) {
  auto* mine = static_cast<ThreadBlocks*>(value);
  for (const Block& block : mine->blocks) mine->worker->Free(block);
  delete mine;
}

pthread_key_t ThreadExitKey() {
  static const pthread_key_t key = [] {
    pthread_key_t made;
    pthread_key_create(&made, FreeAtThreadExit);
    return made;
  }();
  return key;
}

void FreedByEndingThreads(Worker* worker, int calls) {
  constexpr int kBlocksOfAThread = 400;
  for (; calls > 0; calls -= kBlocksOfAThread) {
    std::thread([worker, calls] {
      auto* mine = new ThreadBlocks{worker, {}};
      pthread_setspecific(ThreadExitKey(), mine);
      for (int i = 0; i < kBlocksOfAThread && i < calls; ++i) {
        const Block block = worker->Allocate(Uniform<1, 800>(worker));
        if (i % 4 == 0) {
          worker->Keep(block);
        } else {
          mine->blocks.push_back(block);
        }
      }
    }).join();
  }
}

// Children that free what they inherited: it stays live here.
void FreedInChildren(Worker* worker, int calls) {
  std::vector<Block> blocks;
  for (int i = 0; i < calls; ++i) blocks.push_back(worker->Allocate(Uniform<16, 1000>(worker)));
  const pid_t child = fork();
  if (child == 0) {
    for (const Block& block : blocks) free(block.at);
    _exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) abort();
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 3 == 0) {
      worker->Keep(blocks[i]);
    } else {
      worker->Free(blocks[i]);
    }
  }
}

// Reallocations that cannot be done leave the old block.
void FailedReallocs(Worker* worker, int calls) {
  std::vector<Block> live(static_cast<size_t>(calls / 4 + 1));
  for (int i = 0; i < calls; ++i) {
    Block& block = live[worker->Below(live.size())];
    worker->Free(block);
    block = worker->Allocate(Uniform<1, 1500>(worker));
    if (worker->Below(4) == 0) worker->Reallocate(&block, SIZE_MAX / 4);
  }
  for (const Block& block : live) worker->Keep(block);
}

constexpr Shape kShapes[] = {
    {"16 bytes, last in first out", 16, kAll, LastInFirstOut<Fixed<16>>},
    {"64 bytes, first in first out", 64, kAll, FirstInFirstOut<Fixed<64>>},
    {"4 KiB, replaced at random", 4096, kAll, Replaced<Fixed<4096>>},
    {"1 to 1024 bytes, replaced", 512, kAll, Replaced<Uniform<1, 1024>>},
    {"log-uniform to 1 MiB, replaced", 75'000, kAll, Replaced<LogUniform<0, 138>>},
    {"log-uniform to 1 GiB", 5e7, 24, LastInFirstOut<LogUniform<0, 207>>},
    {"Zipf", 4000, kAll, FirstInFirstOut<Zipf>},
    {"bimodal", 1024, kAll, Replaced<Bimodal>},
    {"of the interval's size", 16'384, kAll, Cache<Fixed<16'383>>},
    {"nothing at all", 0, 400'000, Arenas<Fixed<0>>},
    {"realloc, doubling", 8000, kAll, GrownByRealloc},
    {"realloc that fails", 750, kAll, FailedReallocs},
    {"aligned", 1500, kAll, AlignedInEveryWay},
    {"calloc", 2000, kAll, FirstInFirstOut<Uniform<1, 4000>, Op::kCalloc>},
    {"operator new", 150, kAll, LastInFirstOut<Uniform<1, 300>, Op::kNew>},
    {"cache", 600, kAll, Cache<Uniform<100, 1100>>},
    {"leak", 2500, kAll, Leaked<Uniform<1000, 4000>>},
    {"arenas", 500, kAll, Arenas<Uniform<1, 1000>>},
    {"freed by other threads", 1000, kAll, FreedByOthers},
    {"freed by ending threads", 400, kAll, FreedByEndingThreads},
    {"children free it", 500, kAll, FreedInChildren},
};
static_assert(std::size(kShapes) <= kMaxShapes);

}  // namespace

std::span<const Shape> Shapes() { return kShapes; }

}  // namespace truth
