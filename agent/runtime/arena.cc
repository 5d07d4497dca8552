// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <iterator>

#include "agent/runtime/arena_lock.h"
#include "collectors/safe/sys.h"

// Linux 5.17; absent from older headers.
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace sonde::runtime {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kSlabBytes = size_t{64} << 10;
constexpr size_t kMinAlignment = 16;
constexpr uint32_t kMaxSpareSlabs = 4;
constexpr uint64_t kSlabMagic = 0x6265'6c73'65646e6f;   // "ondeslab"
constexpr uint64_t kLargeMagic = 0x6772'616c'65646e6f;  // "ondelarg"

// Steps of a quarter of a power of two; from 4 KiB on what divides a slab without much waste.
constexpr uint16_t kClassBytes[] = {16,   32,   48,   64,    80,    96,   112,  128,  160,
                                    192,  224,  256,  320,   384,   448,  512,  640,  768,
                                    896,  1024, 1280, 1536,  1792,  2048, 2560, 3072, 4080,
                                    5456, 6544, 8176, 10912, 13088, 16368};
constexpr size_t kLargestClass = kClassBytes[std::size(kClassBytes) - 1];

struct FreeBlock {
  FreeBlock* next;
};

// The head of every mapping, at a multiple of kSlabBytes: the chunk of a block is found by masking
// its address.
struct alignas(64) Chunk {
  uint64_t magic;
  uint32_t generation;  // forks since start, when it was mapped
  uint32_t size_class;
  uint32_t live_blocks;
  uint32_t carved_blocks;  // blocks behind this many were never handed out
  FreeBlock* free_blocks;
  Chunk* next;  // in the list of slabs of this class with room, or of spare slabs
  Chunk* previous;
  size_t mapped_bytes;

  char* payload() { return reinterpret_cast<char*>(this + 1); }
};
static_assert(sizeof(Chunk) == 64);
static_assert(4 * kLargestClass + sizeof(Chunk) <= kSlabBytes);

// Serves what is asked for before the agent knows whether it will do anything: libstdc++ takes 72
// KiB for its exception reserve in a static constructor, in every process, and touches the first
// bytes only.
class BootReserve {
 public:
  void* Allocate(size_t size) {
    if (size > sizeof(memory_)) return nullptr;
    const size_t need = sizeof(Head) + ((size + kMinAlignment - 1) & ~(kMinAlignment - 1));
    size_t used = used_.load(std::memory_order_relaxed);
    do {
      if (need > sizeof(memory_) - used) return nullptr;
    } while (!used_.compare_exchange_weak(used, used + need, std::memory_order_relaxed));
    Head* head = reinterpret_cast<Head*>(memory_ + used);
    head->size = need - sizeof(Head);
    return head + 1;
  }

  bool Contains(const void* block) const {
    return block >= memory_ && block < memory_ + sizeof(memory_);
  }

  static size_t UsableSize(const void* block) {
    return (static_cast<const Head*>(block) - 1)->size;
  }
  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  struct alignas(kMinAlignment) Head {
    size_t size;
  };
  std::atomic<size_t> used_{0};
  alignas(64) char memory_[size_t{80} << 10] = {};
};

// The class of every size up to the end of the table, in steps of kMinAlignment; larger ones are
// searched for.
constexpr size_t kTabledBytes = 1024;
struct ClassTable {
  uint8_t of[kTabledBytes / kMinAlignment + 1] = {};
  constexpr ClassTable() {
    uint8_t size_class = 0;
    for (size_t i = 0; i < std::size(of); ++i) {
      while (kClassBytes[size_class] < i * kMinAlignment) ++size_class;
      of[i] = size_class;
    }
  }
};
constexpr ClassTable kClassTable;

uint32_t ClassOf(size_t size) {
  if (size <= kTabledBytes) return kClassTable.of[(size + kMinAlignment - 1) / kMinAlignment];
  const auto* found = std::lower_bound(std::begin(kClassBytes), std::end(kClassBytes), size);
  return static_cast<uint32_t>(found - std::begin(kClassBytes));
}

size_t RoundUp(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

Chunk* ChunkOf(const void* block) {
  return reinterpret_cast<Chunk*>(reinterpret_cast<uintptr_t>(block) & ~(kSlabBytes - 1));
}

void Unmap(void* start, size_t bytes) {
  if (bytes != 0) sys::Call(SYS_munmap, start, bytes);
}

char* MapAnywhere(size_t bytes) {
  const long result =
      sys::Call(SYS_mmap, 0L, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
  return sys::Failed(result) ? nullptr : reinterpret_cast<char*>(result);
}

bool IsAligned(const void* address) { return ChunkOf(address) == address; }

// A plain mapping mostly lands below the previous slab, so aligned; else map more and trim.
void* MapAligned(size_t bytes) {
  char* start = MapAnywhere(bytes);
  if (start == nullptr || IsAligned(start)) return start;
  Unmap(start, bytes);
  start = MapAnywhere(bytes + kSlabBytes - kPageBytes);
  if (start == nullptr) return nullptr;
  char* aligned = reinterpret_cast<char*>(ChunkOf(start + kSlabBytes - kPageBytes));
  Unmap(start, static_cast<size_t>(aligned - start));
  Unmap(aligned + bytes, static_cast<size_t>(start + kSlabBytes - kPageBytes - aligned));
  return aligned;
}

// Doubly linked through Chunk::next and previous.
class ChunkList {
 public:
  Chunk* front() const { return front_; }

  void Push(Chunk* chunk) {
    chunk->previous = nullptr;
    chunk->next = front_;
    if (front_ != nullptr) front_->previous = chunk;
    front_ = chunk;
  }

  void Remove(Chunk* chunk) {
    (chunk->previous != nullptr ? chunk->previous->next : front_) = chunk->next;
    if (chunk->next != nullptr) chunk->next->previous = chunk->previous;
  }

  void Clear() { front_ = nullptr; }

 private:
  Chunk* front_ = nullptr;
};

uint32_t BlocksInSlab(uint32_t size_class) {
  return static_cast<uint32_t>((kSlabBytes - sizeof(Chunk)) / kClassBytes[size_class]);
}

bool IsFull(const Chunk* slab) { return slab->live_blocks == BlocksInSlab(slab->size_class); }

// Everything behind the lock. All-zero is the state at load: no constructor runs, nothing is ever
// destroyed.
class Arena {
 public:
  void* Allocate(size_t size, size_t alignment) {
    void* block = size <= kLargestClass ? AllocateSmall(size) : AllocateLarge(size, alignment);
    if (block != nullptr) ++stats_.live_blocks;
    return block;
  }

  void Free(void* block) {
    Chunk* chunk = OwnedChunk(block);
    if (chunk == nullptr) {
      ++stats_.ignored_frees;
      return;
    }
    --stats_.live_blocks;
    if (chunk->magic == kLargeMagic) return UnmapChunk(chunk);
    FreeSmall(chunk, block);
  }

  size_t UsableSize(const void* block) {
    Chunk* chunk = ChunkOf(block);
    const char* position = static_cast<const char*>(block);
    if (chunk->magic == kLargeMagic) {
      return static_cast<size_t>(reinterpret_cast<char*>(chunk) + chunk->mapped_bytes - position);
    }
    const size_t block_bytes = kClassBytes[chunk->size_class];
    return block_bytes - static_cast<size_t>(position - chunk->payload()) % block_bytes;
  }

  void StartAnew() {
    const uint64_t abandoned = stats_.abandoned_bytes + stats_.mapped_bytes;
    stats_ = {};
    stats_.abandoned_bytes = abandoned;
    for (ChunkList& list : with_room_) list.Clear();
    spare_.Clear();
    spare_count_ = 0;
    ++generation_;
  }

  ArenaStats& stats() { return stats_; }
  size_t& cap() { return cap_bytes_; }
  bool& name_mappings() { return name_mappings_; }

 private:
  Chunk* OwnedChunk(void* block) {
    Chunk* chunk = ChunkOf(block);
    const bool known = chunk->magic == kSlabMagic || chunk->magic == kLargeMagic;
    return known && chunk->generation == generation_ ? chunk : nullptr;
  }

  void* AllocateSmall(size_t size) {
    const uint32_t size_class = ClassOf(size);
    Chunk* slab = with_room_[size_class].front();
    if (slab == nullptr) slab = NewSlab(size_class);
    if (slab == nullptr) return nullptr;
    ++slab->live_blocks;
    if (IsFull(slab)) with_room_[size_class].Remove(slab);
    return TakeBlock(slab);
  }

  static void* TakeBlock(Chunk* slab) {
    if (FreeBlock* block = slab->free_blocks; block != nullptr) {
      slab->free_blocks = block->next;
      return block;
    }
    return slab->payload() + size_t{slab->carved_blocks++} * kClassBytes[slab->size_class];
  }

  Chunk* NewSlab(uint32_t size_class) {
    Chunk* slab = spare_.front();
    if (slab != nullptr) {
      spare_.Remove(slab);
      --spare_count_;
    } else {
      slab = MapChunk(kSlabBytes);
      if (slab == nullptr) return nullptr;
    }
    *slab = {.magic = kSlabMagic,
             .generation = generation_,
             .size_class = size_class,
             .live_blocks = 0,
             .carved_blocks = 0,
             .free_blocks = nullptr,
             .next = nullptr,
             .previous = nullptr,
             .mapped_bytes = kSlabBytes};
    with_room_[size_class].Push(slab);
    return slab;
  }

  void FreeSmall(Chunk* slab, void* address) {
    const size_t block_bytes = kClassBytes[slab->size_class];
    // An over-aligned block starts before the address that was handed out.
    const auto offset = static_cast<size_t>(static_cast<char*>(address) - slab->payload());
    auto* block =
        reinterpret_cast<FreeBlock*>(slab->payload() + offset / block_bytes * block_bytes);
    if (IsFull(slab)) with_room_[slab->size_class].Push(slab);
    block->next = slab->free_blocks;
    slab->free_blocks = block;
    if (--slab->live_blocks == 0) Retire(slab);
  }

  void Retire(Chunk* slab) {
    with_room_[slab->size_class].Remove(slab);
    if (spare_count_ == kMaxSpareSlabs) return UnmapChunk(slab);
    spare_.Push(slab);
    ++spare_count_;
  }

  void* AllocateLarge(size_t size, size_t alignment) {
    const size_t head = RoundUp(sizeof(Chunk), alignment);
    if (size > cap_bytes_) {
      ++stats_.refused_over_cap;
      return nullptr;
    }
    const size_t bytes = RoundUp(head + size, kPageBytes);
    Chunk* chunk = MapChunk(bytes);
    if (chunk == nullptr) return nullptr;
    chunk->magic = kLargeMagic;
    chunk->generation = generation_;
    chunk->mapped_bytes = bytes;
    return reinterpret_cast<char*>(chunk) + head;
  }

  Chunk* MapChunk(size_t bytes) {
    if (stats_.mapped_bytes + bytes > cap_bytes_) ReleaseSpares();
    if (stats_.mapped_bytes + bytes > cap_bytes_) {
      ++stats_.refused_over_cap;
      return nullptr;
    }
    void* start = MapAligned(bytes);
    if (start == nullptr) {
      ++stats_.refused_by_kernel;
      return nullptr;
    }
    if (name_mappings_) {
      sys::Call(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, bytes, "sonde arena");
    }
    stats_.mapped_bytes += bytes;
    stats_.peak_mapped_bytes = std::max(stats_.peak_mapped_bytes, stats_.mapped_bytes);
    return static_cast<Chunk*>(start);
  }

  void UnmapChunk(Chunk* chunk) {
    stats_.mapped_bytes -= chunk->mapped_bytes;
    Unmap(chunk, chunk->mapped_bytes);
  }

  void ReleaseSpares() {
    while (Chunk* slab = spare_.front()) {
      spare_.Remove(slab);
      UnmapChunk(slab);
    }
    spare_count_ = 0;
  }

  size_t cap_bytes_ = kDefaultArenaCapBytes;
  bool name_mappings_ = false;
  uint32_t generation_ = 0;
  uint32_t spare_count_ = 0;
  ChunkList spare_;
  ChunkList with_room_[std::size(kClassBytes)];
  ArenaStats stats_ = {};
};

constinit BootReserve g_boot;
constinit ArenaLock g_lock;
constinit Arena g_arena;
// Counted outside the lock, by those who could not take it.
constinit std::atomic<uint64_t> g_refused_reentry{0};
constinit std::atomic<uint64_t> g_reentered_frees{0};

void* AllocateOrRefuse(size_t size, size_t alignment) {
  if (!g_lock.Lock()) {
    g_refused_reentry.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  void* block = g_arena.Allocate(size, alignment);
  g_lock.Unlock();
  return block;
}

}  // namespace

void* ArenaAllocate(size_t size, size_t alignment) {
  if (alignment > kArenaMaxAlignment) return nullptr;
  if (alignment < kMinAlignment) alignment = kMinAlignment;
  if (size == 0) size = 1;
  const size_t padded = size + alignment - kMinAlignment;
  if (padded < size) return nullptr;
  void* block = alignment == kMinAlignment ? g_boot.Allocate(padded) : nullptr;
  if (block == nullptr) block = AllocateOrRefuse(padded, alignment);
  return reinterpret_cast<void*>(RoundUp(reinterpret_cast<uintptr_t>(block), alignment));
}

void* ArenaReallocate(void* block, size_t size) {
  if (block == nullptr) return ArenaAllocate(size);
  const size_t usable = ArenaUsableSize(block);
  // Shrinking moves only when it gives back more than half.
  if (size <= usable && size >= usable / 2) return block;
  void* moved = ArenaAllocate(size);
  if (moved == nullptr) return nullptr;
  memcpy(moved, block, std::min(size, usable));
  ArenaFree(block);
  return moved;
}

void ArenaFree(void* block) {
  if (block == nullptr || g_boot.Contains(block)) return;
  if (!g_lock.Lock()) {
    g_reentered_frees.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  g_arena.Free(block);
  g_lock.Unlock();
}

size_t ArenaUsableSize(const void* block) {
  if (block == nullptr) return 0;
  // A live block's chunk does not change, so no lock is needed.
  return g_boot.Contains(block) ? BootReserve::UsableSize(block) : g_arena.UsableSize(block);
}

void ArenaSetCap(size_t cap_bytes) {
  if (!g_lock.Lock()) return;
  g_arena.cap() = cap_bytes;
  g_lock.Unlock();
}

void ArenaNameMappings(bool on) {
  if (!g_lock.Lock()) return;
  g_arena.name_mappings() = on;
  g_lock.Unlock();
}

ArenaStats ArenaGetStats() {
  ArenaStats stats = {};
  if (!g_lock.Lock()) return stats;
  stats = g_arena.stats();
  stats.cap_bytes = g_arena.cap();
  g_lock.Unlock();
  stats.boot_bytes = g_boot.used();
  stats.refused_reentry = g_refused_reentry.load(std::memory_order_relaxed);
  stats.ignored_frees += g_reentered_frees.load(std::memory_order_relaxed);
  return stats;
}

void ArenaAfterForkInChild() {
  g_lock.Reset();
  g_arena.StartAnew();
}

}  // namespace sonde::runtime
