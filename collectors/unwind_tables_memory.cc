// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_memory.h"

#include <linux/mman.h>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr size_t kPageMask = 4095;

}  // namespace

bool TableMemory::Grow(size_t bytes) { return bytes <= size_ || TryResize(bytes); }

bool TableMemory::TryResize(size_t bytes) {
  const size_t size = (bytes + kPageMask) & ~kPageMask;
  if (size == size_) return true;
  long result;
  if (size == 0) {
    result = sys::Call(SYS_munmap, data_, size_);
    if (!sys::Failed(result)) result = 0;
  } else if (size_ == 0) {
    constexpr int kProtection = PROT_READ | PROT_WRITE;
    result = sys::Call(SYS_mmap, 0L, size, kProtection, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
  } else {
    result = sys::Call(SYS_mremap, data_, size_, size, MREMAP_MAYMOVE, 0L);
  }
  if (sys::Failed(result)) return false;
  data_ = reinterpret_cast<void*>(result);
  size_ = size;
  return true;
}

}  // namespace sonde
