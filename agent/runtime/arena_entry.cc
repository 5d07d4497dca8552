// SPDX-License-Identifier: Apache-2.0
// The names under which everything linked into libsonde.so reaches the arena: all forms of operator
// new and delete, and __wrap_NAME for NAME of the malloc family (cmake/preload.cmake passes
// --wrap=NAME). Part of libsonde.so only, never of a test or of the CLI. Hidden by the version
// script: the host keeps its own. errno is set to ENOMEM on failure, as the callers of malloc
// expect.
#include <errno.h>
#include <string.h>

#include <algorithm>
#include <new>

#include "agent/runtime/arena.h"

namespace {

void* OrErrno(void* block) {
  if (block == nullptr) errno = ENOMEM;
  return block;
}

void* OrThrow(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

bool Multiply(size_t count, size_t size, size_t* product) {
  return !__builtin_mul_overflow(count, size, product);
}

size_t Number(std::align_val_t alignment) { return static_cast<size_t>(alignment); }

bool IsPowerOfTwo(size_t value) { return value != 0 && (value & (value - 1)) == 0; }

char* CopyString(const char* text, size_t length) {
  char* copy = static_cast<char*>(OrErrno(sonde::runtime::ArenaAllocate(length + 1)));
  if (copy == nullptr) return nullptr;
  memcpy(copy, text, length);
  copy[length] = '\0';
  return copy;
}

}  // namespace

// GCC cannot see that these pairs belong together.
#pragma GCC diagnostic ignored "-Wmissing-declarations"

extern "C" {

// The linker's --wrap gives these names.
// NOLINTBEGIN(bugprone-reserved-identifier)
void* __wrap_malloc(size_t size) { return OrErrno(sonde::runtime::ArenaAllocate(size)); }
void __wrap_free(void* block) { sonde::runtime::ArenaFree(block); }
void __wrap_cfree(void* block) { sonde::runtime::ArenaFree(block); }

void* __wrap_realloc(void* block, size_t size) {
  if (block != nullptr && size == 0) {
    sonde::runtime::ArenaFree(block);
    return nullptr;
  }
  return OrErrno(sonde::runtime::ArenaReallocate(block, size));
}

void* __wrap_calloc(size_t count, size_t size) {
  size_t total = 0;
  void* block = Multiply(count, size, &total) ? sonde::runtime::ArenaAllocate(total) : nullptr;
  return block != nullptr ? memset(block, 0, total) : OrErrno(nullptr);
}

void* __wrap_reallocarray(void* block, size_t count, size_t size) {
  size_t total = 0;
  if (!Multiply(count, size, &total)) return OrErrno(nullptr);
  return __wrap_realloc(block, total);
}

void* __wrap_memalign(size_t alignment, size_t size) {
  return OrErrno(IsPowerOfTwo(alignment) ? sonde::runtime::ArenaAllocate(size, alignment)
                                         : nullptr);
}

void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  return __wrap_memalign(alignment, size);
}

int __wrap_posix_memalign(void** result, size_t alignment, size_t size) {
  if (!IsPowerOfTwo(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  void* block = sonde::runtime::ArenaAllocate(size, alignment);
  if (block == nullptr) return ENOMEM;
  *result = block;
  return 0;
}

size_t __wrap_malloc_usable_size(void* block) { return sonde::runtime::ArenaUsableSize(block); }

// libc's own would allocate from the host's heap.
char* __wrap_strdup(const char* text) { return CopyString(text, strlen(text)); }
char* __wrap_strndup(const char* text, size_t limit) {
  return CopyString(text, strnlen(text, limit));
}
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"

using sonde::runtime::ArenaAllocate;
using sonde::runtime::ArenaFree;

void* operator new(size_t size) { return OrThrow(ArenaAllocate(size)); }
void* operator new[](size_t size) { return OrThrow(ArenaAllocate(size)); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return ArenaAllocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return ArenaAllocate(size); }
void* operator new(size_t size, std::align_val_t alignment) {
  return OrThrow(ArenaAllocate(size, Number(alignment)));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return OrThrow(ArenaAllocate(size, Number(alignment)));
}
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return ArenaAllocate(size, Number(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return ArenaAllocate(size, Number(alignment));
}

void operator delete(void* block) noexcept { ArenaFree(block); }
void operator delete[](void* block) noexcept { ArenaFree(block); }
void operator delete(void* block, size_t) noexcept { ArenaFree(block); }
void operator delete[](void* block, size_t) noexcept { ArenaFree(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { ArenaFree(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { ArenaFree(block); }
void operator delete(void* block, std::align_val_t) noexcept { ArenaFree(block); }
void operator delete[](void* block, std::align_val_t) noexcept { ArenaFree(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { ArenaFree(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { ArenaFree(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  ArenaFree(block);
}
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  ArenaFree(block);
}
