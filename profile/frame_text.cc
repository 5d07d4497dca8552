// SPDX-License-Identifier: Apache-2.0
#include "profile/frame_text.h"

#include "profile/hex.h"
#include "profile/unnamed.h"

namespace sonde {
namespace {

bool HasName(const Symbol& symbol) { return !symbol.name.empty() && symbol.start != 0; }

}  // namespace

std::string FrameText(const Symbol& symbol, const Mapping& mapping, uint64_t address) {
  const uint64_t offset = FrameOffset(symbol, mapping, address);
  if (HasName(symbol)) return symbol.name + "+0x" + Hex(offset);
  return UnnamedFunction(mapping.path, symbol.unnamed_start != 0 ? symbol.unnamed_start : offset);
}

uint64_t FrameOffset(const Symbol& symbol, const Mapping& mapping, uint64_t address) {
  if (HasName(symbol)) return address - symbol.start;
  return symbol.module_address != 0 ? symbol.module_address
                                    : address - mapping.start + mapping.offset;
}

}  // namespace sonde
