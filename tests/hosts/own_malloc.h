// SPDX-License-Identifier: Apache-2.0
// An allocator that is part of the program, as jemalloc or snmalloc often are, and knows the newer
// names of the allocation interface only if some library has them. For one source of a program; any
// thread; 64 MiB that are never used twice.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kPoolBytes = 64 << 20, kHeader = 16 };

static _Alignas(16) unsigned char g_pool[kPoolBytes];
static size_t g_used;
static int g_freed;

static size_t SizeOf(const void* block) {
  size_t size;
  memcpy(&size, (const unsigned char*)block - kHeader, sizeof size);
  return size;
}

static bool Ours(const void* block) {
  const uintptr_t at = (uintptr_t)block;
  return at >= (uintptr_t)g_pool && at < (uintptr_t)g_pool + kPoolBytes;
}

// Every allocator that replaces libc's is visible, whatever the flags of the rest.
#pragma GCC visibility push(default)

void* malloc(size_t size) {
  const size_t whole = kHeader + ((size + 15) & ~(size_t)15);
  const size_t at = __atomic_fetch_add(&g_used, whole, __ATOMIC_RELAXED);
  if (at + whole > kPoolBytes) abort();
  memcpy(g_pool + at, &size, sizeof size);
  return g_pool + at + kHeader;
}

// The pool is never used twice, so it is zero.
void* calloc(size_t count, size_t size) { return malloc(count * size); }

void* realloc(void* old, size_t size) {
  void* block = malloc(size);
  if (old != NULL) memcpy(block, old, SizeOf(old) < size ? SizeOf(old) : size);
  return block;
}

// Like every allocator, it cannot say what to do with a block that is not its own.
void free(void* block) {
  if (block == NULL) return;
  if (!Ours(block)) abort();
  __atomic_fetch_add(&g_freed, 1, __ATOMIC_RELAXED);
}

#pragma GCC visibility pop

__attribute__((weak)) void free_sized(void* block, size_t size);
__attribute__((weak)) void free_aligned_sized(void* block, size_t alignment, size_t size);

static void FreeOne(int how, void* block, size_t size) {
  if (how == 1 && free_sized != NULL) {
    free_sized(block, size);
  } else if (how == 2 && free_aligned_sized != NULL) {
    free_aligned_sized(block, 16, size);
  } else {
    free(block);
  }
}
