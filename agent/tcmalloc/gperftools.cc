// SPDX-License-Identifier: Apache-2.0
// tcmalloc.cc of gperftools, included whole: the functions that take a callback for blocks that are
// not tcmalloc's are in no header. What it would bring along is left out before: definitions of
// malloc and operator new, hooks, a static object that registers an extension and prints at exit.
//
// Compiled for callers whose stack is aligned to 8 bytes only (agent/CMakeLists.txt).
#include <errno.h>
#include <sys/mman.h>

#include <atomic>

#include "agent/tcmalloc/allocator.h"
#include "agent/tcmalloc/libc.h"
#include "collectors/safe/sys.h"

// NOLINTBEGIN(bugprone-reserved-identifier): gperftools' own names.
#define TCMALLOC_LIBC_OVERRIDE_INL_H_
#define WIN32_OVERRIDE_ALLOCATORS
#define _MALLOC_HOOK_INL_H_
// NOLINTEND(bugprone-reserved-identifier)

#include <gperftools/malloc_hook.h>

#include "base/basictypes.h"

// A section of its own would keep functions that nothing calls.
#undef ATTRIBUTE_SECTION
#define ATTRIBUTE_SECTION(name)

[[maybe_unused]] static void ReplaceSystemAlloc() {}

namespace base::internal {
struct NoHooks {
  [[nodiscard]] static constexpr bool empty() { return true; }
};
[[maybe_unused]] static constexpr NoHooks new_hooks_, delete_hooks_;
}  // namespace base::internal
inline void MallocHook::InvokeNewHook(const void*, size_t) {}
inline void MallocHook::InvokeDeleteHook(const void*) {}

#include <tcmalloc.cc>  // NOLINT(bugprone-suspicious-include): see above

namespace sonde::tcmalloc {
namespace {

constexpr size_t kSystemPage = 4096;

void FreeOfLibc(void* block) { g_libc.free(block); }
size_t SizeOfLibc(const void* block) { return g_libc.malloc_usable_size(const_cast<void*>(block)); }

bool Owns(const void* block) {
  const PageID page = reinterpret_cast<uintptr_t>(block) >> kPageShift;
  uint32 size_class = 0;
  return Static::IsInited() && (Static::pageheap()->TryGetSizeClass(page, &size_class) ||
                                Static::pageheap()->GetDescriptor(page) != nullptr);
}

// Fresh pages are zero already, and a host that wants a large zeroed array need not use all of it:
// libc's calloc does not touch such pages either. Locked pages cannot be given back.
void Clear(void* block, size_t size) {
  const bool is_span = size > kMaxSize;
  const size_t whole = size & ~(kSystemPage - 1);
  if (!is_span || sys::Failed(sys::Call(SYS_madvise, block, whole, MADV_DONTNEED))) {
    memset(block, 0, size);
  } else {
    memset(static_cast<char*>(block) + whole, 0, size - whole);
  }
}

void* NoMemory() {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

void Start() {
  ThreadCache::InitModule();
  ThreadCache::InitTSD();
}

void* OutOfMemory(size_t) { return NoMemory(); }

void* Malloc(size_t size) noexcept { return malloc_fast_path<OutOfMemory>(size); }

void Free(void* block) noexcept { do_free_with_callback(block, &FreeOfLibc, false, 0); }

void* Calloc(size_t count, size_t size) noexcept {
  size_t total = 0;
  if (__builtin_mul_overflow(count, size, &total)) return NoMemory();
  void* const block = Malloc(total);
  if (block != nullptr) Clear(block, total);
  return block;
}

void* Realloc(void* block, size_t size) noexcept {
  if (block == nullptr) return Malloc(size);
  if (!Owns(block)) return g_libc.realloc(block, size);
  if (size == 0) {
    Free(block);
    return nullptr;
  }
  return do_realloc_with_callback(block, size, &FreeOfLibc, &SizeOfLibc);
}

void* Reallocarray(void* block, size_t count, size_t size) noexcept {
  size_t total = 0;
  if (__builtin_mul_overflow(count, size, &total)) return NoMemory();
  return Realloc(block, total);
}

// As libc's, takes any alignment for the next power of two.
void* Memalign(size_t alignment, size_t size) noexcept {
  constexpr size_t kMost = SIZE_MAX / 2 + 1;
  if (alignment > kMost) {
    errno = EINVAL;
    return nullptr;
  }
  size_t power = kMinAlign;
  while (power < alignment) power <<= 1;
  if (size > PTRDIFF_MAX - power) return NoMemory();
  return memalign_fast_path<::tcmalloc::malloc_oom>(power, size);
}

int PosixMemalign(void** block, size_t alignment, size_t size) noexcept {
  const bool is_power = alignment != 0 && (alignment & (alignment - 1)) == 0;
  if (!is_power || alignment % sizeof(void*) != 0) return EINVAL;
  const int before = errno;
  void* const found = Memalign(alignment, size);
  errno = before;
  if (found == nullptr) return ENOMEM;
  *block = found;
  return 0;
}

void* Valloc(size_t size) noexcept { return Memalign(kSystemPage, size); }

void* Pvalloc(size_t size) noexcept {
  if (size > PTRDIFF_MAX - kSystemPage) return NoMemory();
  return Memalign(kSystemPage, (size + kSystemPage - 1) & ~(kSystemPage - 1));
}

// What the caller says of the size is not trusted.
void FreeSized(void* block, size_t) noexcept { Free(block); }
void FreeAlignedSized(void* block, size_t, size_t) noexcept { Free(block); }

size_t UsableSize(void* block) noexcept {
  if (block == nullptr) return 0;
  return Owns(block) ? GetSizeWithCallback(block, &SizeOfLibc) : SizeOfLibc(block);
}

Statistics GetStatistics() {
  TCMallocStats from;
  ExtractStats(&from, nullptr, nullptr, nullptr);
  Statistics to;
  to.mapped = from.pageheap.system_bytes;
  to.cached = from.thread_bytes + from.central_bytes + from.transfer_bytes;
  to.pages = from.pageheap.free_bytes;
  to.returned = from.pageheap.unmapped_bytes;
  to.records = from.metadata_bytes;
  const uint64_t not_given = to.cached + to.pages + to.returned;
  to.given_out = to.mapped - min(to.mapped, not_given);
  return to;
}

uint64_t ReleaseAtLeast(uint64_t bytes) {
  SpinLockHolder lock(Static::pageheap_lock());
  const Length pages = max<Length>(bytes >> kPageShift, 1);
  return static_cast<uint64_t>(Static::pageheap()->ReleaseAtLeastNPages(pages)) << kPageShift;
}

}  // namespace sonde::tcmalloc
