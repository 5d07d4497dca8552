// SPDX-License-Identifier: Apache-2.0
// The allocation functions of C, POSIX and C23. operator new and delete are not among them: those
// of libstdc++ call malloc and free, and a hook of them finds no next definition in a C program
// that loads a C++ plug-in (traps 6).
//
// Every exported function goes on to the host's own by a jump, so no frame of ours is on the host's
// stack; when a block is sampled, or may have been, the frame of the function that does it is the
// only one. What they do with a block is collectors/safe/heap_sampler.h. errno is the host's
// allocator's: nothing of ours sets it.
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "agent/hooks/heap_door.h"
#include "agent/hooks/heap_fast_path.h"
#include "agent/hooks/hook.h"
#include "agent/runtime/resolve.h"
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

constinit HeapDoor<decltype(malloc)> g_malloc{StartMalloc};
constinit HeapDoor<decltype(calloc)> g_calloc{StartCalloc};
constinit HeapDoor<decltype(realloc)> g_realloc{StartRealloc};
constinit HeapDoor<decltype(reallocarray)> g_reallocarray{StartReallocarray};
constinit HeapDoor<decltype(memalign)> g_memalign{StartMemalign};
constinit HeapDoor<decltype(aligned_alloc)> g_aligned_alloc{StartAlignedAlloc};
constinit HeapDoor<decltype(posix_memalign)> g_posix_memalign{StartPosixMemalign};
constinit HeapDoor<decltype(valloc)> g_valloc{StartValloc};
constinit HeapDoor<decltype(pvalloc)> g_pvalloc{StartPvalloc};
constinit HeapDoor<decltype(free)> g_free{StartFree};
constinit HeapDoor<decltype(cfree)> g_cfree{StartCfree};
constinit HeapDoor<decltype(free_sized)> g_free_sized{StartFreeSized};
constinit HeapDoor<decltype(free_aligned_sized)> g_free_aligned_sized{StartFreeAlignedSized};

void* NoMemory() noexcept {
  errno = ENOMEM;
  return nullptr;
}

// Stand-ins: what a function means in terms of those that every program has. Of the program, which
// need not be the next after ours: one with an allocator of its own may know a newer name only
// because we export it, and its blocks are not libc's.
void* NoMalloc(size_t) noexcept { return NoMemory(); }
void* NoCalloc(size_t, size_t) noexcept { return NoMemory(); }
void* NoRealloc(void*, size_t) noexcept { return NoMemory(); }
void* NoAligned(size_t, size_t) noexcept { return NoMemory(); }
int NoPosixMemalign(void**, size_t, size_t) noexcept { return ENOMEM; }
void NoFree(void*) noexcept {}

// Looked up by each call: nothing but a weak reference to a function that libc lacks comes here.
template <typename Function>
Function* OfProgram(const char* name, Function* ours) {
  sonde::runtime::SymbolRequest request = {.name = name};
  sonde::runtime::ResolveFrom(_r_debug.r_map, {&request, 1});
  return request.address != nullptr ? reinterpret_cast<Function*>(request.address) : ours;
}

void* ReallocarrayByRealloc(void* block, size_t count, size_t size) noexcept {
  size_t total = 0;
  if (__builtin_mul_overflow(count, size, &total)) return NoMemory();
  return OfProgram("realloc", realloc)(block, total);
}

void FreeByFree(void* block) noexcept { OfProgram("free", free)(block); }
void FreeSizedByFree(void* block, size_t) noexcept { FreeByFree(block); }
void FreeAlignedSizedByFree(void* block, size_t, size_t) noexcept { FreeByFree(block); }

auto* OpenMalloc() { return g_malloc.Open("malloc", NoMalloc); }
auto* OpenCalloc() { return g_calloc.Open("calloc", NoCalloc); }
auto* OpenRealloc() { return g_realloc.Open("realloc", NoRealloc); }
auto* OpenReallocarray() { return g_reallocarray.Open("reallocarray", ReallocarrayByRealloc); }
auto* OpenMemalign() { return g_memalign.Open("memalign", NoAligned); }
auto* OpenAlignedAlloc() { return g_aligned_alloc.Open("aligned_alloc", NoAligned); }
auto* OpenPosixMemalign() { return g_posix_memalign.Open("posix_memalign", NoPosixMemalign); }
auto* OpenValloc() { return g_valloc.Open("valloc", NoMalloc); }
auto* OpenPvalloc() { return g_pvalloc.Open("pvalloc", NoMalloc); }
auto* OpenFree() { return g_free.Open("free", NoFree); }
// glibc keeps it for old programs only, under a version that is not the default.
auto* OpenCfree() { return g_cfree.Open("cfree", FreeByFree, "GLIBC_2.2.5"); }
auto* OpenFreeSized() { return g_free_sized.Open("free_sized", FreeSizedByFree); }
auto* OpenFreeAlignedSized() {
  return g_free_aligned_sized.Open("free_aligned_sized", FreeAlignedSizedByFree);
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

__attribute__((noinline)) void* SampledCalloc(size_t count, size_t size) noexcept {
  return AllocateAndRecord(count * size, [=] { return g_calloc.Host()(count, size); });
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

// libc's calls the program's realloc, which counts the new block: counting here would do it twice.
// An allocator whose own goes no such way leaves the new block uncounted, but never the old one as
// live.
__attribute__((noinline)) void* SampledReallocarray(void* old, size_t count, size_t size) noexcept {
  const uint32_t held = sonde::HoldBlock(old);
  void* block = g_reallocarray.Host()(old, count, size);
  sonde::ReleaseBlock(old, held, /*gone=*/block != nullptr || count == 0 || size == 0);
  return block;
}

__attribute__((noinline)) void* SampledMemalign(size_t alignment, size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_memalign.Host()(alignment, size); });
}

__attribute__((noinline)) void* SampledAlignedAlloc(size_t alignment, size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_aligned_alloc.Host()(alignment, size); });
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

__attribute__((noinline)) void* SampledValloc(size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_valloc.Host()(size); });
}

__attribute__((noinline)) void* SampledPvalloc(size_t size) noexcept {
  return AllocateAndRecord(size, [=] { return g_pvalloc.Host()(size); });
}

// Frees: out of the table first, then the host's free.
__attribute__((noinline)) void SampledFree(void* block) noexcept {
  ForgetBlock(block);
  g_free.Host()(block);
}

void OpenAll() {
  OpenMalloc(), OpenCalloc(), OpenRealloc(), OpenReallocarray(), OpenMemalign();
  OpenAlignedAlloc(), OpenPosixMemalign(), OpenValloc(), OpenPvalloc();
  OpenFree(), OpenCfree(), OpenFreeSized(), OpenFreeAlignedSized();
}

}  // namespace

extern "C" __attribute__((visibility("hidden"))) void SondeOpenHeap() { OpenAll(); }

// Who serves the malloc that we hand on to.
extern "C" __attribute__((visibility("hidden"))) uint64_t SondeHostMalloc() {
  return reinterpret_cast<uint64_t>(OpenMalloc());
}

// One cache line each: a call that crosses into a second one costs 0.3 ns more.
#define SONDE_EXPORT_IN_ONE_LINE SONDE_EXPORT __attribute__((aligned(64)))

SONDE_EXPORT_IN_ONE_LINE void* malloc(size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledMalloc(size);
  if (const auto path = sonde::hooks::FastAllocation(size)) return Allocate(path);
  return g_malloc.Host()(size);
}
SONDE_EXPORT void* calloc(size_t count, size_t size) noexcept {
  size_t total = 0;
  const bool overflow = __builtin_mul_overflow(count, size, &total);
  if (!overflow && SampleDue(total)) [[unlikely]]
    return SampledCalloc(count, size);
  return g_calloc.Host()(count, size);
}
SONDE_EXPORT void* realloc(void* old, size_t size) noexcept {
  const bool due = SampleDue(size);
  if (due || MayBeSampled(old)) [[unlikely]]
    return SampledRealloc(old, size, due);
  return g_realloc.Host()(old, size);
}
SONDE_EXPORT void* reallocarray(void* old, size_t count, size_t size) noexcept {
  if (MayBeSampled(old)) [[unlikely]]
    return SampledReallocarray(old, count, size);
  return g_reallocarray.Host()(old, count, size);
}
SONDE_EXPORT void* memalign(size_t alignment, size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledMemalign(alignment, size);
  return g_memalign.Host()(alignment, size);
}
SONDE_EXPORT void* aligned_alloc(size_t alignment, size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledAlignedAlloc(alignment, size);
  return g_aligned_alloc.Host()(alignment, size);
}
SONDE_EXPORT int posix_memalign(void** block, size_t alignment, size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledPosixMemalign(block, alignment, size);
  return g_posix_memalign.Host()(block, alignment, size);
}
SONDE_EXPORT void* valloc(size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledValloc(size);
  return g_valloc.Host()(size);
}
SONDE_EXPORT void* pvalloc(size_t size) noexcept {
  if (SampleDue(size)) [[unlikely]]
    return SampledPvalloc(size);
  return g_pvalloc.Host()(size);
}
SONDE_EXPORT_IN_ONE_LINE void free(void* block) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    return SampledFree(block);
  if (const auto path = sonde::hooks::FastRelease(block)) return Release(path, block);
  g_free.Host()(block);
}
SONDE_EXPORT void cfree(void* block) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    ForgetBlock(block);
  g_cfree.Host()(block);
}
SONDE_EXPORT void free_sized(void* block, size_t size) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    ForgetBlock(block);
  g_free_sized.Host()(block, size);
}
SONDE_EXPORT void free_aligned_sized(void* block, size_t alignment, size_t size) noexcept {
  if (MayBeSampled(block)) [[unlikely]]
    ForgetBlock(block);
  g_free_aligned_sized.Host()(block, alignment, size);
}

// The same for the other hooks of libsonde-tcmalloc.so.
extern "C" __attribute__((visibility("hidden"))) void SondeFree(void* block) noexcept {
  free(block);
}
extern "C" __attribute__((visibility("hidden"))) void* SondeRealloc(void* old,
                                                                    size_t size) noexcept {
  return realloc(old, size);
}
