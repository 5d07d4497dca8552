// SPDX-License-Identifier: Apache-2.0
// The protocol-buffer wire format, as far as profile.proto needs it. Used by encode and decode
// only. Not thread-safe. The writer holds what was written, the reader points into the caller's
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace sonde::wire {

enum class Type : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Fields that hold their default (0, "") are not written, as proto3 has it, but by the Always
// forms.
class Writer {
 public:
  void Uint(uint32_t field, uint64_t value) {
    if (value != 0) UintAlways(field, value);
  }
  void Int(uint32_t field, int64_t value) { Uint(field, static_cast<uint64_t>(value)); }
  void Bool(uint32_t field, bool value) { Uint(field, value ? 1 : 0); }
  void UintAlways(uint32_t field, uint64_t value);
  // Strings of a repeated field and messages are written even when empty: their number counts.
  void BytesAlways(uint32_t field, std::string_view bytes);
  template <class Range>
  void Packed(uint32_t field, const Range& values, uint64_t add = 0) {
    if (values.empty()) return;
    size_t size = 0;
    for (const auto value : values) size += VarintSize(static_cast<uint64_t>(value) + add);
    Tag(field, Type::kBytes);
    Varint(size);
    // Room for all at once: most of a profile is written here.
    const size_t before = bytes_.size();
    bytes_.resize(before + size);
    char* at = bytes_.data() + before;
    for (const auto value : values) at = PutVarint(static_cast<uint64_t>(value) + add, at);
  }

  void Reserve(size_t bytes) { bytes_.reserve(bytes); }
  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }
  void Clear() { bytes_.clear(); }

 private:
  static size_t VarintSize(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7) ++size;
    return size;
  }
  // Where the next one goes.
  static char* PutVarint(uint64_t value, char* at) {
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
    *at++ = static_cast<char>(value);
    return at;
  }
  void Tag(uint32_t field, Type type);
  void Varint(uint64_t value);

  std::string bytes_;
};

// One field at a time: while (reader.Next()) switch (reader.field()) …; then look at failed().
class Reader {
 public:
  // `base`: where `bytes` begin in the whole, for error texts.
  explicit Reader(std::string_view bytes, size_t base = 0) : bytes_(bytes), base_(base) {}

  // False at the end and at the first error.
  [[nodiscard]] bool Next();
  bool failed() const { return error_ != nullptr; }
  // What was expected, and at which byte of the whole.
  std::string error() const;

  uint32_t field() const { return field_; }
  Type type() const { return type_; }
  uint64_t number() const { return number_; }        // kVarint
  std::string_view bytes() const { return value_; }  // kBytes
  // Where bytes() begin in the whole.
  size_t value_offset() const { return base_ + at_ - value_.size(); }

  // The next number of a packed field; false at its end or on an error (then failed()).
  [[nodiscard]] bool NextPacked(uint64_t* value);
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  bool Varint(uint64_t* value);
  bool Skip(size_t size, const char* what);
  bool Fail(const char* what);

  std::string_view bytes_;
  size_t base_;
  size_t at_ = 0;
  const char* error_ = nullptr;
  uint32_t field_ = 0;
  Type type_ = Type::kVarint;
  uint64_t number_ = 0;
  std::string_view value_;
};

}  // namespace sonde::wire
