// SPDX-License-Identifier: Apache-2.0
// Blocks that are filled by their address and size, so that one that is handed out twice is seen.
// For the hosts that test the allocator; any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline unsigned char MarkOf(const void* block, size_t size) {
  return (unsigned char)((uintptr_t)block >> 4 ^ size * 31);
}

static inline void* Filled(void* block, size_t size) {
  if (block != NULL) memset(block, MarkOf(block, size), size);
  return block;
}

static inline bool Whole(const void* block, size_t size) {
  const unsigned char* bytes = (const unsigned char*)block;
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != MarkOf(block, size)) return false;
  }
  return true;
}

static inline bool Zeroed(const void* block, size_t size) {
  const unsigned char* bytes = (const unsigned char*)block;
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

// A size the compiler does not know: it would warn of, or remove, calls that cannot succeed.
static inline size_t Opaque(size_t size) {
  __asm__("" : "+r"(size));
  return size;
}
