// SPDX-License-Identifier: Apache-2.0
// Memory for unwind tables, straight from the kernel: never from malloc, so that a table costs what
// it says, can be given back, and is shared with forked children until it is freed. Not
// thread-safe.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <utility>

namespace sonde {

// A block of zeroed pages that can grow (and move while it does) and shrink.
class TableMemory {
 public:
  TableMemory() = default;
  ~TableMemory() { Resize(0); }
  TableMemory(TableMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  TableMemory& operator=(TableMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  // At least `bytes` in whole pages; 0 gives all back. False: no memory, nothing has changed.
  // Cold path only.
  [[nodiscard]] bool Grow(size_t bytes);
  void Resize(size_t bytes) { static_cast<void>(TryResize(bytes)); }

  template <typename T>
  T* As() const {
    return static_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  bool TryResize(size_t bytes);

  void* data_ = nullptr;
  size_t size_ = 0;
};

// An array in such memory that doubles when it is full.
template <typename T>
class TableArray {
 public:
  // False: no memory, nothing has changed. Cold path only.
  [[nodiscard]] bool Append(const T& value) {
    if ((count_ + 1) * sizeof(T) > memory_.size() && !memory_.Grow(memory_.size() * 2 + 1)) {
      return false;
    }
    begin()[count_++] = value;
    return true;
  }
  T* begin() { return memory_.As<T>(); }
  T* end() { return memory_.As<T>() + count_; }
  const T* begin() const { return memory_.As<T>(); }
  size_t count() const { return count_; }
  void Clear() { count_ = 0; }

 private:
  TableMemory memory_;
  size_t count_ = 0;
};

}  // namespace sonde
