// SPDX-License-Identifier: Apache-2.0
// The memory that walkers read: one shared mapping of fixed size, made before the service forks,
// so that what the builder puts there later is seen by every child, at the same address.
//
// Owned by unwind_tables.cc, on the agent thread; not thread-safe. Only the builder writes, here
// and in its own books: a child that inherits an arena reads it and does nothing else. Memory: the
// mapping, of which only pages in use count; 8 bytes of books for each piece.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace sonde {

struct ArenaPiece {
  void* data = nullptr;
  size_t size = 0;
};

class TableArena {
 public:
  // Without memory the capacity is 0.
  explicit TableArena(size_t bytes);
  ~TableArena();
  TableArena(const TableArena&) = delete;
  TableArena& operator=(const TableArena&) = delete;

  // At least `bytes`, aligned to a cache line; null data: no room. Throws std::bad_alloc, and has
  // then done nothing. Cold path only.
  ArenaPiece Allocate(size_t bytes);

  // Takes a piece back, once no walker can be reading it; whole pages go back to the kernel.
  // Cold path only.
  void Free(ArenaPiece piece);

  size_t used() const { return used_; }
  size_t capacity() const { return capacity_; }

 private:
  struct Extent {
    uint32_t begin;
    uint32_t end;
  };

  void ReturnPages(Extent freed, Extent hole) const;

  uint8_t* base_ = nullptr;
  size_t capacity_ = 0;
  size_t used_ = 0;
  size_t pieces_ = 0;
  // Ascending, never adjacent. There is always room for one more than there are pieces, so that
  // Free needs no memory.
  std::vector<Extent> free_;
};

}  // namespace sonde
