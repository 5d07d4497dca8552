// SPDX-License-Identifier: Apache-2.0
#include "profile/function_range.h"

#include <string.h>

#include <algorithm>
#include <array>

namespace sonde {
namespace {

// What every linker writes: version 1, a pointer to .eh_frame, the count as four bytes, and pairs
// of four bytes that are relative to the table's own beginning.
constexpr std::array<uint8_t, 2> kVersionAndPointer = {1, 0x1b};
constexpr std::array<uint8_t, 2> kCountAndPairs = {0x03, 0x3b};
constexpr uint64_t kHeaderBytes = 12;
constexpr uint64_t kEntriesPerRead = 64;

struct Entry {
  int32_t function;
  int32_t fde;
};
static_assert(sizeof(Entry) == 8);

uint64_t Relative(uint64_t base, int64_t distance) {
  return base + static_cast<uint64_t>(distance);
}

class SearchTable {
 public:
  explicit SearchTable(const ElfFile& elf) : elf_(elf) {
    const ElfSegment& table = elf.eh_frame_header();
    std::array<uint8_t, kHeaderBytes> header;
    if (table.file_size < kHeaderBytes ||
        !elf.ReadExact(table.offset, header.data(), header.size()))
      return;
    if (!std::equal(kVersionAndPointer.begin(), kVersionAndPointer.end(), header.begin()) ||
        !std::equal(kCountAndPairs.begin(), kCountAndPairs.end(), header.begin() + 2))
      return;
    uint32_t count = 0;
    memcpy(&count, header.data() + 8, sizeof count);
    address_ = table.address;
    offset_ = table.offset + kHeaderBytes;
    count_ = std::min<uint64_t>(count, (table.file_size - kHeaderBytes) / sizeof(Entry));
  }

  // The last entry that does not begin behind `address`.
  std::optional<Entry> Find(uint64_t address) const {
    uint64_t first = 0;
    uint64_t count = count_;
    while (count > kEntriesPerRead) {
      const uint64_t half = count / 2;
      Entry middle;
      if (!Read(first + half, &middle, 1)) return std::nullopt;
      if (FunctionOf(middle) <= address) {
        first += half;
        count -= half;
      } else {
        count = half;
      }
    }
    std::array<Entry, kEntriesPerRead> entries;
    if (count == 0 || !Read(first, entries.data(), count)) return std::nullopt;
    const auto end = entries.begin() + static_cast<ptrdiff_t>(count);
    const auto above = std::upper_bound(
        entries.begin(), end, address,
        [this](uint64_t at, const Entry& entry) { return at < FunctionOf(entry); });
    if (above == entries.begin()) return std::nullopt;
    return *(above - 1);
  }

  uint64_t FunctionOf(const Entry& entry) const { return Relative(address_, entry.function); }
  uint64_t FdeOf(const Entry& entry) const { return Relative(address_, entry.fde); }

 private:
  bool Read(uint64_t first, Entry* entries, uint64_t count) const {
    return elf_.ReadExact(offset_ + first * sizeof(Entry), entries, count * sizeof(Entry));
  }

  const ElfFile& elf_;
  uint64_t address_ = 0;
  uint64_t offset_ = 0;  // of the first entry, in the file
  uint64_t count_ = 0;
};

// The length of the function that begins at `function`. The encoding stands in another record; but
// as the beginning is known, the one that gives it is the right one.
std::optional<uint64_t> SizeOf(const ElfFile& elf, uint64_t fde, uint64_t function) {
  const auto offset = elf.AddressToOffset(fde);
  std::array<uint8_t, 24> record;  // length, pointer to the CIE, beginning, size
  if (!offset || !elf.ReadExact(*offset, record.data(), record.size())) return std::nullopt;
  int32_t near = 0;
  memcpy(&near, record.data() + 8, sizeof near);
  if (Relative(fde + 8, near) == function) {
    uint32_t size = 0;
    memcpy(&size, record.data() + 12, sizeof size);
    return size;
  }
  std::array<uint64_t, 2> far;
  memcpy(far.data(), record.data() + 8, sizeof far);
  if (far[0] == function || Relative(fde + 8, static_cast<int64_t>(far[0])) == function)
    return far[1];
  return std::nullopt;
}

}  // namespace

std::optional<FunctionRange> FindFunctionRange(const ElfFile& elf, uint64_t address) {
  const SearchTable table(elf);
  const auto entry = table.Find(address);
  if (!entry) return std::nullopt;
  const uint64_t function = table.FunctionOf(*entry);
  const auto size = SizeOf(elf, table.FdeOf(*entry), function);
  if (!size || address - function >= *size) return std::nullopt;
  return FunctionRange{function, *size};
}

}  // namespace sonde
