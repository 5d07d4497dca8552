// SPDX-License-Identifier: Apache-2.0
#include "collectors/call_sites.h"

#include <string.h>

namespace sonde {
namespace {

uint64_t Displaced(uint64_t from, const uint8_t* displacement) {
  int32_t distance;
  memcpy(&distance, displacement, sizeof(distance));
  return from + static_cast<uint64_t>(int64_t{distance});
}

// ff /2: call through a register or memory. `code` is its first byte.
bool IsIndirectCall(const uint8_t* code) { return code[0] == 0xff && (code[1] & 0x38) == 0x10; }

}  // namespace

// A PLT entry is a jump through a pointer that the loader has filled in, after endbr64 or a bnd
// prefix. Before its first call the pointer leads back into the PLT: then nothing is known.
uint64_t CallSites::BehindPlt(uint64_t target) const {
  uint8_t code[16];
  if (!memory_.Read(target, code, sizeof(code))) return target;
  constexpr uint8_t kEndbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  size_t at = memcmp(code, kEndbr64, sizeof(kEndbr64)) == 0 ? sizeof(kEndbr64) : 0;
  if (code[at] == 0xf2) ++at;
  if (code[at] != 0xff || code[at + 1] != 0x25) return target;
  uint64_t behind = 0;
  if (!memory_.ReadObject(Displaced(target + at + 6, code + at + 2), &behind)) return 0;
  constexpr uint64_t kLargestPlt = 1 << 20;
  return behind - target + kLargestPlt < 2 * kLargestPlt ? 0 : behind;
}

CallSite CallSites::Decode(uint64_t return_address) const {
  constexpr size_t kLongest = 7;
  uint8_t code[kLongest];
  if (!memory_.Read(return_address - kLongest, code, sizeof(code))) return {};
  if (code[2] == 0xe8) return {true, BehindPlt(Displaced(return_address, code + 3))};
  if (code[1] == 0xff && code[2] == 0x15) {  // call *pointer(%rip)
    uint64_t target = 0;
    const bool read = memory_.ReadObject(Displaced(return_address, code + 3), &target);
    return {true, read ? target : 0};
  }
  for (const size_t start : {size_t{0}, size_t{1}, size_t{3}, size_t{4}, size_t{5}}) {
    if (IsIndirectCall(code + start)) return {true, 0};
  }
  return {};
}

CallSite CallSites::Before(uint64_t return_address) {
  const auto known = known_.find(return_address);
  if (known != known_.end()) return known->second;
  if (known_.size() >= kMaxCached) known_.clear();
  return known_[return_address] = Decode(return_address);
}

}  // namespace sonde
