// SPDX-License-Identifier: Apache-2.0
// A large array of zeros straight from the kernel: only what is written takes memory. Cold path
// only.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <type_traits>

#include "collectors/safe/sys.h"

namespace sonde {

template <typename T>
class ZeroArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit ZeroArray(size_t size) : size_(size) {
    const long result = sys::Call(SYS_mmap, 0L, bytes(), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1L, 0L);
    if (sys::Failed(result)) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(result);
  }
  ~ZeroArray() { sys::Call(SYS_munmap, data_, bytes()); }
  ZeroArray(const ZeroArray&) = delete;
  ZeroArray& operator=(const ZeroArray&) = delete;

  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

 private:
  size_t size_;
  T* data_ = nullptr;
};

}  // namespace sonde
