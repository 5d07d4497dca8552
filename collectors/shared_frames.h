// SPDX-License-Identifier: Apache-2.0
// The return addresses of one stack, kept once however many hold them: the counts of a collector,
// and the profiles that are made of these, which live longer. Not thread-safe: agent thread only.
// Memory: 8 bytes an address and 8 more, given back by the last holder.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>

namespace sonde {

class SharedFrames {
 public:
  SharedFrames() = default;
  // Copies. Throws std::bad_alloc.
  explicit SharedFrames(std::span<const uint64_t> frames)
      : block_(frames.empty() ? nullptr : new uint64_t[1 + frames.size()]) {
    if (block_ == nullptr) return;
    block_[0] = uint64_t{1} << 32 | static_cast<uint32_t>(frames.size());
    std::ranges::copy(frames, block_ + 1);
  }
  SharedFrames(std::initializer_list<uint64_t> frames)
      : SharedFrames(std::span(frames.begin(), frames.size())) {}
  SharedFrames(const SharedFrames& other) : block_(other.block_) {
    if (block_ != nullptr) block_[0] += kOneHolder;
  }
  SharedFrames(SharedFrames&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  SharedFrames& operator=(SharedFrames other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~SharedFrames() {
    if (block_ == nullptr) return;
    block_[0] -= kOneHolder;
    if (block_[0] < kOneHolder) delete[] block_;
  }

  static size_t BytesFor(size_t depth) { return (1 + depth) * sizeof(uint64_t); }

  [[nodiscard]] size_t size() const {
    return block_ == nullptr ? 0 : static_cast<uint32_t>(block_[0]);
  }
  [[nodiscard]] bool empty() const { return block_ == nullptr; }
  [[nodiscard]] const uint64_t* data() const { return block_ == nullptr ? nullptr : block_ + 1; }
  [[nodiscard]] const uint64_t* begin() const { return data(); }
  [[nodiscard]] const uint64_t* end() const { return data() + size(); }
  const uint64_t& operator[](size_t i) const { return block_[1 + i]; }

  bool operator==(const SharedFrames& other) const { return std::ranges::equal(*this, other); }
  auto operator<=>(const SharedFrames& other) const {
    return std::lexicographical_compare_three_way(begin(), end(), other.begin(), other.end());
  }

 private:
  static constexpr uint64_t kOneHolder = uint64_t{1} << 32;

  uint64_t* block_ = nullptr;  // holders:32 | size:32, then the addresses
};

}  // namespace sonde
