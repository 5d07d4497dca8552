// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/region_mappings.h"

namespace sonde {
namespace {

constexpr int kMaxReadRetries = 8;

// Cold path only.
Shared<uint64_t>* CopyAt(const Region& region, uint32_t which) {
  return region.mappings + which * (region.counts.mappings_bytes / sizeof(uint64_t));
}

// Cold path only.
uint64_t WholeLines(const char* text, uint64_t length, uint64_t limit) {
  if (length <= limit) return length;
  uint64_t end = limit;
  while (end > 0 && text[end - 1] != '\n') --end;
  return end;
}

// Cold path only.
uint32_t CopyOut(const Region& region, uint32_t which, char* text, uint32_t size) {
  uint32_t length = region.header->mappings_length[which].Load();
  if (length > region.counts.mappings_bytes) length = region.counts.mappings_bytes;
  if (length > size) length = size;
  const Shared<uint64_t>* words = CopyAt(region, which);
  for (uint32_t i = 0; i < length; i += 8) {
    const uint64_t word = words[i / 8].Load();
    for (uint32_t j = 0; j < 8 && i + j < length; ++j) {
      text[i + j] = static_cast<char>(word >> (j * 8));
    }
  }
  return length;
}

}  // namespace

bool StoreMappings(const Region& region, const char* text, uint64_t length) {
  const uint64_t kept = WholeLines(text, length, region.counts.mappings_bytes);
  const uint32_t sequence = region.header->mappings_active.Load() + 1;
  Shared<uint64_t>* words = CopyAt(region, sequence & 1);
  for (uint64_t i = 0; i < kept; i += 8) {
    uint64_t word = 0;
    for (uint64_t j = 0; j < 8 && i + j < kept; ++j) {
      word |= static_cast<uint64_t>(static_cast<unsigned char>(text[i + j])) << (j * 8);
    }
    words[i / 8].Store(word);
  }
  region.header->mappings_length[sequence & 1].Store(static_cast<uint32_t>(kept));
  region.header->mappings_active.Store(sequence);
  return kept == length;
}

uint32_t LoadMappings(const Region& region, char* text, uint32_t size) {
  for (int i = 0; i < kMaxReadRetries; ++i) {
    const uint32_t sequence = region.header->mappings_active.Load();
    const uint32_t length = CopyOut(region, sequence & 1, text, size);
    // The copy that was read is written to again only after the next one has become active.
    if (region.header->mappings_active.Load() == sequence) return length;
  }
  return 0;
}

}  // namespace sonde
