// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/copied_memory.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "cli/proc.h"
#include "cli/stacks/stop_process.h"

namespace sonde::cli {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kRedZone = 128;            // below sp, still in use
constexpr uint64_t kUnknownStack = 32 << 10;  // of a stack that was not there before the stop
constexpr uint64_t kAround = 64;
constexpr size_t kMaxMapsBytes = size_t{64} << 20;

}  // namespace

CopiedMemory::CopiedMemory(int pid) : live_(pid) { ReadRanges(pid); }

void CopiedMemory::ReadRanges(int pid) {
  std::istringstream lines(
      ReadSmallFile("/proc/" + std::to_string(pid) + "/maps", kMaxMapsBytes).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    char* end = nullptr;
    const uint64_t start = strtoull(line.c_str(), &end, 16);
    if (*end != '-') continue;
    const uint64_t limit = strtoull(end + 1, &end, 16);
    const std::string_view rest(end);
    const bool writable = rest.size() > 2 && rest[2] == 'w';
    ranges_[start] = {limit, writable && rest.find(" /") == rest.npos};
  }
}

const CopiedMemory::Range* CopiedMemory::RangeAt(uint64_t address) const {
  const auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin() || std::prev(after)->second.limit <= address) return nullptr;
  return &std::prev(after)->second;
}

bool CopiedMemory::Copy(uint64_t from, uint64_t limit, Copies* to) {
  if (limit <= from || copied_bytes_ + (limit - from) > kMaxCopiedBytes) return false;
  std::string bytes(limit - from, '\0');
  size_t got = 0;
  // Page by page behind the first that cannot be read.
  if (live_.Read(from, bytes.data(), bytes.size())) got = bytes.size();
  while (got < bytes.size()) {
    const uint64_t at = from + got;
    const size_t size = std::min<uint64_t>(kPage - at % kPage, bytes.size() - got);
    if (!live_.Read(at, bytes.data() + got, size)) break;
    got += size;
  }
  if (got == 0) return false;
  bytes.resize(got);
  copied_bytes_ += got;
  (*to)[from] = std::move(bytes);
  return true;
}

bool CopiedMemory::CopyStack(uint64_t sp) {
  const uint64_t from = sp - std::min(sp, kRedZone);
  const Range* range = RangeAt(sp);
  const uint64_t limit = range != nullptr ? range->limit : sp + kUnknownStack;
  return Copy(from, std::min(limit, from + kMaxStackBytes), &stacks_);
}

void CopiedMemory::CopyAround(uint64_t address) {
  const uint64_t from = (address - std::min(address, kAround)) & ~uint64_t{7};
  Copy(from, from + 2 * kAround, &spots_);
}

bool CopiedMemory::ReadFrom(const Copies& copies, uint64_t address, void* out, size_t size) {
  const auto after = copies.upper_bound(address);
  if (after == copies.begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  const uint64_t in_copy = address - start;
  if (in_copy >= bytes.size() || bytes.size() - in_copy < size) return false;
  memcpy(out, bytes.data() + in_copy, size);
  return true;
}

bool CopiedMemory::Read(uint64_t address, void* out, size_t size) const {
  if (ReadFrom(stacks_, address, out, size) || ReadFrom(spots_, address, out, size)) return true;
  const Range* range = RangeAt(address);
  if (range == nullptr || range->is_copied_only) return false;
  return live_.Read(address, out, size);
}

}  // namespace sonde::cli
