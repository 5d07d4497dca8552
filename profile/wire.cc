// SPDX-License-Identifier: Apache-2.0
#include "profile/wire.h"

namespace sonde::wire {
namespace {

constexpr unsigned kMaxVarintBits = 63;  // shift of the tenth and last byte
constexpr uint64_t kMaxField = (1u << 29) - 1;

}  // namespace

void Writer::Varint(uint64_t value) {
  char bytes[10];
  bytes_.append(bytes, static_cast<size_t>(PutVarint(value, bytes) - bytes));
}

void Writer::Tag(uint32_t field, Type type) {
  Varint(uint64_t{field} << 3 | static_cast<uint64_t>(type));
}

void Writer::UintAlways(uint32_t field, uint64_t value) {
  Tag(field, Type::kVarint);
  Varint(value);
}

void Writer::BytesAlways(uint32_t field, std::string_view bytes) {
  Tag(field, Type::kBytes);
  Varint(bytes.size());
  bytes_.append(bytes);
}

std::string Reader::error() const {
  return std::string(error_ == nullptr ? "no error" : error_) + " at byte " +
         std::to_string(base_ + at_);
}

bool Reader::Fail(const char* what) {
  error_ = what;
  return false;
}

bool Reader::Varint(uint64_t* value) {
  *value = 0;
  for (unsigned shift = 0; shift <= kMaxVarintBits; shift += 7) {
    if (at_ == bytes_.size()) return Fail("number cut short: expected another byte");
    const auto byte = static_cast<uint8_t>(bytes_[at_++]);
    if (shift == kMaxVarintBits && byte > 1) break;
    *value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return Fail("number too large: expected at most 64 bits");
}

bool Reader::Skip(size_t size, const char* what) {
  if (size > bytes_.size() - at_) return Fail(what);
  at_ += size;
  return true;
}

bool Reader::NextPacked(uint64_t* value) { return !failed() && !at_end() && Varint(value); }

bool Reader::Next() {
  uint64_t tag;
  if (failed() || at_end() || !Varint(&tag)) return false;
  if (tag >> 3 == 0 || tag >> 3 > kMaxField)
    return Fail("bad field number: expected 1 to 536870911");
  field_ = static_cast<uint32_t>(tag >> 3);
  type_ = static_cast<Type>(tag & 7);
  value_ = {};
  switch (type_) {
    case Type::kVarint:
      return Varint(&number_);
    case Type::kFixed64:
      return Skip(8, "fixed field cut short: expected 8 bytes");
    case Type::kFixed32:
      return Skip(4, "fixed field cut short: expected 4 bytes");
    case Type::kBytes: {
      uint64_t size;
      if (!Varint(&size)) return false;
      const size_t start = at_;
      if (!Skip(size, "field reaches past the end of its message")) return false;
      value_ = bytes_.substr(start, size);
      return true;
    }
  }
  return Fail("bad wire type: expected 0, 1, 2 or 5");
}

}  // namespace sonde::wire
