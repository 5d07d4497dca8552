// SPDX-License-Identifier: Apache-2.0
// A bounded reader of DWARF's number formats. Once a read goes past the end the cursor has failed:
// it stays failed, and every further read gives 0. Used by eh_frame*.cc only. Allocates nothing.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace sonde {

// Pointer encodings (LSB Core, "DWARF Exception Header Encoding").
inline constexpr uint8_t kPointerAbsolute = 0x00;
inline constexpr uint8_t kPointerFormatMask = 0x0f;
inline constexpr uint8_t kPointerRelativeMask = 0x70;
inline constexpr uint8_t kPointerPcRelative = 0x10;
inline constexpr uint8_t kPointerIndirect = 0x80;
inline constexpr uint8_t kPointerOmitted = 0xff;

class ByteCursor {
 public:
  // Reads data[begin, end); `address` is where data[0] lies in the original. Cold path only.
  ByteCursor(const uint8_t* data, size_t begin, size_t end, uint64_t address)
      : data_(data), at_(begin), end_(end), address_(address), ok_(begin <= end) {}

  bool ok() const { return ok_; }
  bool AtEnd() const { return !ok_ || at_ >= end_; }
  size_t position() const { return at_; }

  template <typename T>
  T Read() {
    T value{};
    if (!ok_ || end_ - at_ < sizeof(T)) return Fail<T>();
    memcpy(&value, data_ + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  void Skip(uint64_t count) {
    if (!ok_ || end_ - at_ < count) {
      ok_ = false;
      return;
    }
    at_ += count;
  }

  // Bits beyond the 64th are dropped.
  uint64_t Uleb() {
    unsigned shift;
    return Leb(&shift);
  }
  int64_t Sleb() {
    unsigned shift;
    uint64_t value = Leb(&shift);
    const bool negative = ok_ && (data_[at_ - 1] & 0x40) != 0;
    if (negative && shift < 64) value |= ~uint64_t{0} << shift;
    return static_cast<int64_t>(value);
  }

  // A value in `format` (the low 4 bits of an encoding), sign-extended where the format says so.
  uint64_t ReadFormat(uint8_t format) {
    switch (format & kPointerFormatMask) {
      case 0x00:
      case 0x04:
      case 0x0c:
        return Read<uint64_t>();
      case 0x01:
        return Uleb();
      case 0x02:
        return Read<uint16_t>();
      case 0x03:
        return Read<uint32_t>();
      case 0x09:
        return static_cast<uint64_t>(Sleb());
      case 0x0a:
        return static_cast<uint64_t>(int64_t{Read<int16_t>()});
      case 0x0b:
        return static_cast<uint64_t>(int64_t{Read<int32_t>()});
      default:
        return Fail<uint64_t>();
    }
  }

  // An encoded pointer to code; absolute and pc-relative ones only.
  uint64_t ReadPointer(uint8_t encoding) {
    const uint64_t here = address_ + at_;
    const uint8_t relative = encoding & kPointerRelativeMask;
    if ((encoding & kPointerIndirect) != 0) return Fail<uint64_t>();
    const uint64_t value = ReadFormat(encoding);
    if (relative == kPointerAbsolute) return value;
    if (relative == kPointerPcRelative) return here + value;
    return Fail<uint64_t>();
  }

 private:
  template <typename T>
  T Fail() {
    ok_ = false;
    return T{};
  }

  uint64_t Leb(unsigned* shift) {
    uint64_t value = 0;
    for (*shift = 0;;) {
      const auto byte = Read<uint8_t>();
      if (*shift < 64) value |= uint64_t{byte & 0x7fu} << *shift;
      *shift += 7;
      if ((byte & 0x80) == 0) return value;  // also when the read failed
    }
  }

  const uint8_t* data_;
  size_t at_;
  size_t end_;
  uint64_t address_;
  bool ok_;
};

}  // namespace sonde
