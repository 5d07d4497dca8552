// SPDX-License-Identifier: Apache-2.0
// The allocation functions of C, POSIX and C23. operator new and delete are not among them: those
// of libstdc++ call malloc and free, and a hook of them finds no next definition in a C program
// that loads a C++ plug-in (traps 6).
//
// Every exported function is one jump through its door (heap_door.h). Ours behind it jump on too,
// so while nothing is sampled no frame of ours is on the host's stack; when a block is sampled, or
// may have been, the frame of the function that does it is the only one. What they do with a block
// is collectors/safe/heap_sampler.h. errno is the host's allocator's: nothing of ours sets it.
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "agent/hooks/heap_door.h"
#include "agent/hooks/hook.h"
#include "collectors/safe/heap_sampler.h"
#include "collectors/safe/live_table.h"

extern "C" {
// Older headers lack them; older libraries, too.
void cfree(void*) noexcept;
void free_sized(void*, size_t) noexcept;
void free_aligned_sized(void*, size_t, size_t) noexcept;
}

namespace {

using sonde::hooks::HeapDoor;

// Before the door is open, and where libc has no such function.
void* StartMalloc(size_t size) noexcept;
void* StartCalloc(size_t count, size_t size) noexcept;
void* StartRealloc(void* block, size_t size) noexcept;
void* StartReallocarray(void* block, size_t count, size_t size) noexcept;
void* StartMemalign(size_t alignment, size_t size) noexcept;
void* StartAlignedAlloc(size_t alignment, size_t size) noexcept;
int StartPosixMemalign(void** block, size_t alignment, size_t size) noexcept;
void* StartValloc(size_t size) noexcept;
void* StartPvalloc(size_t size) noexcept;
void StartFree(void* block) noexcept;
void StartCfree(void* block) noexcept;
void StartFreeSized(void* block, size_t size) noexcept;
void StartFreeAlignedSized(void* block, size_t alignment, size_t size) noexcept;

constinit HeapDoor<decltype(malloc)> g_malloc{StartMalloc, nullptr};
constinit HeapDoor<decltype(calloc)> g_calloc{StartCalloc, nullptr};
constinit HeapDoor<decltype(realloc)> g_realloc{StartRealloc, nullptr};
constinit HeapDoor<decltype(reallocarray)> g_reallocarray{StartReallocarray, nullptr};
constinit HeapDoor<decltype(memalign)> g_memalign{StartMemalign, nullptr};
constinit HeapDoor<decltype(aligned_alloc)> g_aligned_alloc{StartAlignedAlloc, nullptr};
constinit HeapDoor<decltype(posix_memalign)> g_posix_memalign{StartPosixMemalign, nullptr};
constinit HeapDoor<decltype(valloc)> g_valloc{StartValloc, nullptr};
constinit HeapDoor<decltype(pvalloc)> g_pvalloc{StartPvalloc, nullptr};
constinit HeapDoor<decltype(free)> g_free{StartFree, nullptr};
constinit HeapDoor<decltype(cfree)> g_cfree{StartCfree, nullptr};
constinit HeapDoor<decltype(free_sized)> g_free_sized{StartFreeSized, nullptr};
constinit HeapDoor<decltype(free_aligned_sized)> g_free_aligned_sized{StartFreeAlignedSized,
                                                                      nullptr};

void* NoMemory() noexcept {
  errno = ENOMEM;
  return nullptr;
}

// Stand-ins: what a function means in terms of those that every libc has, through their hosts, so
// that nothing is counted twice.
void* NoMalloc(size_t) noexcept { return NoMemory(); }
void* NoCalloc(size_t, size_t) noexcept { return NoMemory(); }
void* NoRealloc(void*, size_t) noexcept { return NoMemory(); }
void* NoAligned(size_t, size_t) noexcept { return NoMemory(); }
int NoPosixMemalign(void**, size_t, size_t) noexcept { return ENOMEM; }
void NoFree(void*) noexcept {}

auto* HostFree() {
  auto* host = g_free.Host();
  return host != nullptr ? host : g_free.Open("free", StartFree, NoFree);
}

void* ReallocarrayByRealloc(void* block, size_t count, size_t size) noexcept {
  size_t total = 0;
  if (__builtin_mul_overflow(count, size, &total)) return NoMemory();
  auto* host = g_realloc.Host();
  if (host == nullptr) host = g_realloc.Open("realloc", StartRealloc, NoRealloc);
  return host(block, total);
}

void FreeByFree(void* block) noexcept { HostFree()(block); }
void FreeSizedByFree(void* block, size_t) noexcept { HostFree()(block); }
void FreeAlignedSizedByFree(void* block, size_t, size_t) noexcept { HostFree()(block); }

auto* OpenMalloc() { return g_malloc.Open("malloc", StartMalloc, NoMalloc); }
auto* OpenCalloc() { return g_calloc.Open("calloc", StartCalloc, NoCalloc); }
auto* OpenRealloc() { return g_realloc.Open("realloc", StartRealloc, NoRealloc); }
auto* OpenReallocarray() {
  return g_reallocarray.Open("reallocarray", StartReallocarray, ReallocarrayByRealloc);
}
auto* OpenMemalign() { return g_memalign.Open("memalign", StartMemalign, NoAligned); }
auto* OpenAlignedAlloc() {
  return g_aligned_alloc.Open("aligned_alloc", StartAlignedAlloc, NoAligned);
}
auto* OpenPosixMemalign() {
  return g_posix_memalign.Open("posix_memalign", StartPosixMemalign, NoPosixMemalign);
}
auto* OpenValloc() { return g_valloc.Open("valloc", StartValloc, NoMalloc); }
auto* OpenPvalloc() { return g_pvalloc.Open("pvalloc", StartPvalloc, NoMalloc); }
auto* OpenFree() { return g_free.Open("free", StartFree, NoFree); }
// glibc keeps it for old programs only, under a version that is not the default.
auto* OpenCfree() { return g_cfree.Open("cfree", StartCfree, FreeByFree, "GLIBC_2.2.5"); }
auto* OpenFreeSized() { return g_free_sized.Open("free_sized", StartFreeSized, FreeSizedByFree); }
auto* OpenFreeAlignedSized() {
  return g_free_aligned_sized.Open("free_aligned_sized", StartFreeAlignedSized,
                                   FreeAlignedSizedByFree);
}

void* StartMalloc(size_t size) noexcept { return OpenMalloc()(size); }
void* StartCalloc(size_t count, size_t size) noexcept { return OpenCalloc()(count, size); }
void* StartRealloc(void* block, size_t size) noexcept { return OpenRealloc()(block, size); }
void* StartReallocarray(void* block, size_t count, size_t size) noexcept {
  return OpenReallocarray()(block, count, size);
}
void* StartMemalign(size_t alignment, size_t size) noexcept {
  return OpenMemalign()(alignment, size);
}
void* StartAlignedAlloc(size_t alignment, size_t size) noexcept {
  return OpenAlignedAlloc()(alignment, size);
}
int StartPosixMemalign(void** block, size_t alignment, size_t size) noexcept {
  return OpenPosixMemalign()(block, alignment, size);
}
void* StartValloc(size_t size) noexcept { return OpenValloc()(size); }
void* StartPvalloc(size_t size) noexcept { return OpenPvalloc()(size); }
void StartFree(void* block) noexcept { OpenFree()(block); }
void StartCfree(void* block) noexcept { OpenCfree()(block); }
void StartFreeSized(void* block, size_t size) noexcept { OpenFreeSized()(block, size); }
void StartFreeAlignedSized(void* block, size_t alignment, size_t size) noexcept {
  OpenFreeAlignedSized()(block, alignment, size);
}

using sonde::ChooseSample;
using sonde::ForgetBlock;
using sonde::HookFrame;
using sonde::Kind;
using sonde::MayBeSampled;
using sonde::RecordBlock;
using sonde::SampleDue;
using sonde::ThisHookFrame;

// The rare half of an allocation: calls the host's function, and records what it gave. Inlined into
// the function that the exported one came to by jumps alone, whose caller is the host.
template <typename Allocate>
__attribute__((always_inline)) inline void* AllocateAndRecord(size_t size, Allocate allocate) {
  const HookFrame caller = ThisHookFrame();
  const uint32_t interval = ChooseSample(size);
  void* block = allocate();
  if (interval != 0 && block != nullptr) {
    RecordBlock(block, size, interval, Kind::kAlloc, caller);
  }
  return block;
}

__attribute__((noinline)) void* SampledMalloc(size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_malloc.Host()(size); });
}
void* CountingMalloc(size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledMalloc(size);
  return g_malloc.Host()(size);
}

__attribute__((noinline)) void* SampledCalloc(size_t count, size_t size) noexcept {
  return AllocateAndRecord(count * size, [=] { return g_calloc.Host()(count, size); });
}
void* CountingCalloc(size_t count, size_t size) noexcept {
  size_t total = 0;
  const bool overflow = __builtin_mul_overflow(count, size, &total);
  if (!overflow && SampleDue(total)) [[unlikely]]
    return SampledCalloc(count, size);
  return g_calloc.Host()(count, size);
}

// The old block leaves the table before its address may be another's. Where realloc fails the block
// is still there, and so is its entry.
template <typename Reallocate>
__attribute__((always_inline)) inline void* ReallocateAndRecord(void* old, size_t size, bool due,
                                                                Reallocate reallocate) {
  const HookFrame caller = ThisHookFrame();
  const uint32_t held = MayBeSampled(old) ? sonde::HoldBlock(old) : sonde::kNoLive;
  const uint32_t interval = due ? ChooseSample(size) : 0;
  void* block = reallocate();
  sonde::ReleaseBlock(old, held, /*gone=*/block != nullptr || size == 0);
  if (interval != 0 && block != nullptr) {
    RecordBlock(block, size, interval, Kind::kAlloc, caller);
  }
  return block;
}

__attribute__((noinline)) void* SampledRealloc(void* old, size_t size, bool due) noexcept {
  return ReallocateAndRecord(old, size, due, [=] { return g_realloc.Host()(old, size); });
}
void* CountingRealloc(void* old, size_t size) noexcept {
  const bool due = SampleDue(size);
  if (due || MayBeSampled(old)) [[unlikely]]
    return SampledRealloc(old, size, due);
  return g_realloc.Host()(old, size);
}

__attribute__((noinline)) void* SampledReallocarray(void* old, size_t count, size_t size,
                                                    bool due) noexcept {
  return ReallocateAndRecord(old, count * size, due,
                             [=] { return g_reallocarray.Host()(old, count, size); });
}
void* CountingReallocarray(void* old, size_t count, size_t size) noexcept {
  size_t total = 0;
  if (__builtin_mul_overflow(count, size, &total)) return g_reallocarray.Host()(old, count, size);
  const bool due = SampleDue(total);
  if (due || MayBeSampled(old)) [[unlikely]]
    return SampledReallocarray(old, count, size, due);
  return g_reallocarray.Host()(old, count, size);
}

__attribute__((noinline)) void* SampledMemalign(size_t alignment, size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_memalign.Host()(alignment, size); });
}
void* CountingMemalign(size_t alignment, size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledMemalign(alignment, size);
  return g_memalign.Host()(alignment, size);
}

__attribute__((noinline)) void* SampledAlignedAlloc(size_t alignment, size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_aligned_alloc.Host()(alignment, size); });
}
void* CountingAlignedAlloc(size_t alignment, size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledAlignedAlloc(alignment, size);
  return g_aligned_alloc.Host()(alignment, size);
}

__attribute__((noinline)) int SampledPosixMemalign(void** block, size_t alignment,
                                                   size_t size) noexcept {
  int error = 0;
  AllocateAndRecord(size, [&]() -> void* {
    error = g_posix_memalign.Host()(block, alignment, size);
    return error == 0 ? *block : nullptr;
  });
  return error;
}
int CountingPosixMemalign(void** block, size_t alignment, size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledPosixMemalign(block, alignment, size);
  return g_posix_memalign.Host()(block, alignment, size);
}

__attribute__((noinline)) void* SampledValloc(size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_valloc.Host()(size); });
}
void* CountingValloc(size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledValloc(size);
  return g_valloc.Host()(size);
}

__attribute__((noinline)) void* SampledPvalloc(size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_pvalloc.Host()(size); });
}
void* CountingPvalloc(size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledPvalloc(size);
  return g_pvalloc.Host()(size);
}

// Frees: out of the table first, then the host's free.
__attribute__((noinline)) void SampledFree(void* block) noexcept {
  ForgetBlock(block);
  g_free.Host()(block);
}
void CountingFree(void* block) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    return SampledFree(block);
  g_free.Host()(block);
}

void CountingCfree(void* block) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    ForgetBlock(block);
  g_cfree.Host()(block);
}

void CountingFreeSized(void* block, size_t size) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    ForgetBlock(block);
  g_free_sized.Host()(block, size);
}

void CountingFreeAlignedSized(void* block, size_t alignment, size_t size) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    ForgetBlock(block);
  g_free_aligned_sized.Host()(block, alignment, size);
}

void OpenAll() {
  OpenMalloc(), OpenCalloc(), OpenRealloc(), OpenReallocarray(), OpenMemalign();
  OpenAlignedAlloc(), OpenPosixMemalign(), OpenValloc(), OpenPvalloc();
  OpenFree(), OpenCfree(), OpenFreeSized(), OpenFreeAlignedSized();
}

void CountFrees() {
  g_free.Count(CountingFree);
  g_cfree.Count(CountingCfree);
  g_free_sized.Count(CountingFreeSized);
  g_free_aligned_sized.Count(CountingFreeAlignedSized);
  g_realloc.Count(CountingRealloc);
  g_reallocarray.Count(CountingReallocarray);
}

void CountAllocations() {
  g_malloc.Count(CountingMalloc);
  g_calloc.Count(CountingCalloc);
  g_memalign.Count(CountingMemalign);
  g_aligned_alloc.Count(CountingAlignedAlloc);
  g_posix_memalign.Count(CountingPosixMemalign);
  g_valloc.Count(CountingValloc);
  g_pvalloc.Count(CountingPvalloc);
}

void ForwardAllocations() {
  g_malloc.Forward(), g_calloc.Forward(), g_memalign.Forward(), g_aligned_alloc.Forward();
  g_posix_memalign.Forward(), g_valloc.Forward(), g_pvalloc.Forward();
}

void ForwardFrees() {
  g_free.Forward(), g_cfree.Forward(), g_free_sized.Forward(), g_free_aligned_sized.Forward();
  g_realloc.Forward(), g_reallocarray.Forward();
}

}  // namespace

// Frees are watched as long as anything is sampled: a block that nobody would see go must not enter
// the table.
extern "C" __attribute__((visibility("hidden"))) void SondeCountHeap(bool on) {
  if (on) {
    OpenAll();
    CountFrees();
    CountAllocations();
  } else {
    ForwardAllocations();
    ForwardFrees();
  }
}

SONDE_EXPORT void* malloc(size_t size) noexcept {
  return g_malloc.to.load(std::memory_order_relaxed)(size);
}
SONDE_EXPORT void* calloc(size_t count, size_t size) noexcept {
  return g_calloc.to.load(std::memory_order_relaxed)(count, size);
}
SONDE_EXPORT void* realloc(void* block, size_t size) noexcept {
  return g_realloc.to.load(std::memory_order_relaxed)(block, size);
}
SONDE_EXPORT void* reallocarray(void* block, size_t count, size_t size) noexcept {
  return g_reallocarray.to.load(std::memory_order_relaxed)(block, count, size);
}
SONDE_EXPORT void* memalign(size_t alignment, size_t size) noexcept {
  return g_memalign.to.load(std::memory_order_relaxed)(alignment, size);
}
SONDE_EXPORT void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return g_aligned_alloc.to.load(std::memory_order_relaxed)(alignment, size);
}
SONDE_EXPORT int posix_memalign(void** block, size_t alignment, size_t size) noexcept {
  return g_posix_memalign.to.load(std::memory_order_relaxed)(block, alignment, size);
}
SONDE_EXPORT void* valloc(size_t size) noexcept {
  return g_valloc.to.load(std::memory_order_relaxed)(size);
}
SONDE_EXPORT void* pvalloc(size_t size) noexcept {
  return g_pvalloc.to.load(std::memory_order_relaxed)(size);
}
SONDE_EXPORT void free(void* block) noexcept { g_free.to.load(std::memory_order_relaxed)(block); }
SONDE_EXPORT void cfree(void* block) noexcept { g_cfree.to.load(std::memory_order_relaxed)(block); }
SONDE_EXPORT void free_sized(void* block, size_t size) noexcept {
  g_free_sized.to.load(std::memory_order_relaxed)(block, size);
}
SONDE_EXPORT void free_aligned_sized(void* block, size_t alignment, size_t size) noexcept {
  g_free_aligned_sized.to.load(std::memory_order_relaxed)(block, alignment, size);
}
