// SPDX-License-Identifier: Apache-2.0
#include "profile/xz.h"

#include <array>
#include <cstring>
#include <optional>

#include "profile/lzma2.h"

namespace sonde {
namespace {

constexpr uint8_t kMagic[] = {0xfd, '7', 'z', 'X', 'Z', 0};
constexpr size_t kStreamHeaderBytes = 12;
constexpr uint64_t kLzma2Filter = 0x21;
constexpr uint64_t kCrc64Polynomial = 0xc96c5795d7870f42u;
constexpr uint64_t kCrc32Polynomial = 0xedb88320u;

// What the stream's flags promise behind each block.
enum class Check : uint8_t { kNone = 0, kCrc32 = 1, kCrc64 = 4 };

// CRC-32 and CRC-64 are one algorithm with another polynomial.
uint64_t Crc(std::span<const uint8_t> bytes, uint64_t polynomial, uint64_t ones) {
  std::array<uint64_t, 256> table;
  for (uint64_t i = 0; i < table.size(); ++i) {
    uint64_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? polynomial : 0);
    table[i] = value;
  }
  uint64_t crc = ones;
  for (const uint8_t byte : bytes) crc = table[(crc ^ byte) & 0xff] ^ crc >> 8;
  return crc ^ ones;
}

uint64_t LittleEndian(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | bytes[i - 1];
  return value;
}

bool HasCrc32(std::span<const uint8_t> bytes, std::span<const uint8_t> expected) {
  return Crc(bytes, kCrc32Polynomial, UINT32_MAX) == LittleEndian(expected);
}

// A number of seven bits a byte, the lowest first.
std::optional<uint64_t> TakeNumber(std::span<const uint8_t>* bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 63 && !bytes->empty(); shift += 7) {
    const uint8_t byte = bytes->front();
    *bytes = bytes->subspan(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Empty when the block can be unpacked: LZMA2 and nothing else.
std::string CheckBlockHeader(std::span<const uint8_t> header) {
  const size_t body = header.size() - 4;
  if (!HasCrc32(header.subspan(0, body), header.subspan(body))) return "xz: a damaged block header";
  const uint8_t flags = header[1];
  std::span<const uint8_t> rest = header.subspan(2, body - 2);
  if ((flags & 0x3f) != 0) return "xz: filters other than LZMA2";
  if ((flags & 0x40) != 0 && !TakeNumber(&rest)) return "xz: a damaged block header";
  if ((flags & 0x80) != 0 && !TakeNumber(&rest)) return "xz: a damaged block header";
  return TakeNumber(&rest) == kLzma2Filter ? "" : "xz: filters other than LZMA2";
}

size_t CheckBytes(Check check) {
  return check == Check::kNone ? 0 : check == Check::kCrc32 ? 4 : 8;
}

bool IsSound(Check check, std::span<const uint8_t> data, std::span<const uint8_t> expected) {
  if (check == Check::kNone) return true;
  if (check == Check::kCrc32) return HasCrc32(data, expected);
  return Crc(data, kCrc64Polynomial, UINT64_MAX) == LittleEndian(expected);
}

// What the index at the end says that comes out; nullopt: it makes no sense.
std::optional<uint64_t> UnpackedBytes(std::span<const uint8_t> packed) {
  if (packed.size() < 2 * kStreamHeaderBytes) return std::nullopt;
  const auto footer = packed.subspan(packed.size() - kStreamHeaderBytes);
  const uint64_t index_bytes = (LittleEndian(footer.subspan(4, 4)) + 1) * 4;
  if (footer[10] != 'Y' || footer[11] != 'Z' || index_bytes > packed.size() - kStreamHeaderBytes)
    return std::nullopt;
  auto index = packed.subspan(packed.size() - kStreamHeaderBytes - index_bytes, index_bytes);
  if (index[0] != 0) return std::nullopt;
  index = index.subspan(1);
  uint64_t sum = 0;
  for (auto records = TakeNumber(&index); records && *records > 0; --*records) {
    const auto packed_size = TakeNumber(&index);
    const auto size = TakeNumber(&index);
    if (!packed_size || !size || *size > UINT32_MAX) return std::nullopt;
    sum += *size;
  }
  return sum;
}

// Unpacks one block from its header on; returns its bytes, padding and check included.
Result<size_t> UnpackBlock(std::span<const uint8_t> in, Check check, size_t max_bytes,
                           std::string* out) {
  const size_t header = (size_t{in[0]} + 1) * 4;
  if (in.size() < header) return Error{"xz: cut short"};
  const std::string problem = CheckBlockHeader(in.subspan(0, header));
  if (!problem.empty()) return Error{problem};
  const size_t begin = out->size();
  Lzma2Decoder decoder(out, max_bytes);
  const auto used = decoder.Decode(in.subspan(header));
  if (!used) return Error{used.error()};
  const size_t padded = (header + *used + 3) & ~size_t{3};
  const size_t end = padded + CheckBytes(check);
  if (in.size() < end) return Error{"xz: cut short"};
  const std::span data(reinterpret_cast<const uint8_t*>(out->data()) + begin, out->size() - begin);
  if (!IsSound(check, data, in.subspan(padded, end - padded)))
    return Error{"xz: the data does not match its check"};
  return end;
}

}  // namespace

Result<std::string> UnpackXz(std::span<const uint8_t> packed, size_t max_bytes) {
  if (packed.size() < kStreamHeaderBytes || memcmp(packed.data(), kMagic, sizeof kMagic) != 0)
    return Error{"not xz: expected fd377a585a00"};
  if (!HasCrc32(packed.subspan(6, 2), packed.subspan(8, 4)))
    return Error{"xz: a damaged stream header"};
  const uint8_t kind = packed[7];
  if (kind != 0 && kind != 1 && kind != 4)
    return Error{"xz: check " + std::to_string(kind) + ", expected none, CRC32 or CRC64"};
  // Room for all of it at once: growing step by step would need three times as much.
  const auto unpacked = UnpackedBytes(packed);
  if (!unpacked) return Error{"xz: a damaged index"};
  if (*unpacked > max_bytes)
    return Error{"xz: unpacks to " + std::to_string(*unpacked) + " bytes, more than " +
                 std::to_string(max_bytes)};
  std::string out;
  out.reserve(*unpacked);
  size_t at = kStreamHeaderBytes;
  // The index, which begins with a zero, ends the blocks; it holds nothing that we need.
  while (at < packed.size() && packed[at] != 0) {
    const auto used = UnpackBlock(packed.subspan(at), static_cast<Check>(kind), *unpacked, &out);
    if (!used) return Error{used.error()};
    at += *used;
  }
  if (at >= packed.size()) return Error{"xz: cut short"};
  return out;
}

}  // namespace sonde
