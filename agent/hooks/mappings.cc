// SPDX-License-Identifier: Apache-2.0
// mmap, munmap and mremap: the service's own anonymous mappings, as a kind of their own beside the
// blocks of its allocator. What is done with one is collectors/safe/mapping_sampler.h.
//
// Not counted: mappings without any permission (address space that is set aside: what of it is
// used comes by a second mmap, or by mprotect, which is not hooked), files, what libc maps itself
// (its calls do not come here: heaps, stacks of threads, libraries), and what the allocator that
// serves malloc maps, whose blocks are counted: it is told by where the call comes from.
//
// Off, each is one load and a jump. On, errno is the host's call's: nothing of ours sets it.
#include <sys/mman.h>

#include "agent/hooks/hook.h"
#include "collectors/safe/mapping_sampler.h"

SONDE_REAL(mmap);
SONDE_REAL(mmap64);
SONDE_REAL(munmap);

namespace {

using sonde::HeldMappings;
using sonde::HookFrame;

// As it is called: a function with an optional argument cannot hand it on by a jump.
using Mremap = void*(void*, size_t, size_t, int, void*);
Mremap* RealMremap() {
  static constexpr sonde::hooks::Real<Mremap> real(sonde::hooks::kHook_mremap);
  return real.get();
}

constinit std::atomic<uint64_t> g_allocator_low{0};
constinit std::atomic<uint64_t> g_allocator_high{0};

bool IsAllocators(uint64_t return_address) {
  return return_address >= g_allocator_low.load(std::memory_order_relaxed) &&
         return_address < g_allocator_high.load(std::memory_order_relaxed);
}

bool IsCounted(size_t bytes, int protection, int flags) {
  return (flags & MAP_ANONYMOUS) != 0 && protection != PROT_NONE &&
         bytes >= sonde::kMinMappingBytes;
}

struct MmapCall {
  void* where;
  size_t bytes;
  int protection;
  int flags;
};

// What lay under a fixed mapping is gone if the call works.
template <typename Map>
__attribute__((always_inline)) inline void* MapAndRecord(const MmapCall& call, Map map) {
  const HookFrame caller = sonde::ThisHookFrame();
  const uint64_t bytes = sonde::WholePages(call.bytes);
  const auto where = reinterpret_cast<uint64_t>(call.where);
  HeldMappings held;
  if ((call.flags & MAP_FIXED) != 0 && sonde::AnyMappings()) {
    sonde::HoldMappings(where, where + bytes, &held);
  }
  uint32_t interval = 0;
  if (IsCounted(bytes, call.protection, call.flags) && !IsAllocators(caller.return_address) &&
      sonde::SampleDue(bytes)) {
    interval = sonde::ChooseSample(bytes);
  }
  void* mapping = map();
  const bool failed = mapping == MAP_FAILED;
  if (held.count != 0) sonde::ReleaseMappings(held, /*gone=*/!failed);
  if (failed) return mapping;
  const auto low = reinterpret_cast<uint64_t>(mapping);
  if (sonde::AnyMappings()) sonde::ForgetMappings(low, low + bytes);
  if (interval != 0) {
    sonde::RecordBlock(mapping, bytes, interval, sonde::Kind::kMmap, caller);
  }
  return mapping;
}

__attribute__((noinline)) void* CountedMmap(void* where, size_t bytes, int protection, int flags,
                                            int fd, off_t offset) noexcept {
  return MapAndRecord({where, bytes, protection, flags},
                      [=] { return real_mmap.get()(where, bytes, protection, flags, fd, offset); });
}

__attribute__((noinline)) void* CountedMmap64(void* where, size_t bytes, int protection, int flags,
                                              int fd, off64_t offset) noexcept {
  return MapAndRecord({where, bytes, protection, flags}, [=] {
    return real_mmap64.get()(where, bytes, protection, flags, fd, offset);
  });
}

__attribute__((noinline)) int CountedMunmap(void* where, size_t bytes) noexcept {
  const auto low = reinterpret_cast<uint64_t>(where);
  HeldMappings held;
  sonde::HoldMappings(low, low + sonde::WholePages(bytes), &held);
  const int result = real_munmap.get()(where, bytes);
  sonde::ReleaseMappings(held, /*gone=*/result == 0);
  return result;
}

__attribute__((noinline)) void* CountedMremap(void* old, size_t old_bytes, size_t new_bytes,
                                              int flags, void* target) noexcept {
  sonde::MappingMove move;
  move.from = reinterpret_cast<uint64_t>(old);
  move.old_bytes = sonde::WholePages(old_bytes);
  move.new_bytes = sonde::WholePages(new_bytes);
  HeldMappings held;
  sonde::HoldMappings(move.from, move.from + move.old_bytes, &held);
  void* now = RealMremap()(old, old_bytes, new_bytes, flags, target);
  if (now == MAP_FAILED) {
    sonde::ReleaseMappings(held, /*gone=*/false);
    return now;
  }
  move.to = reinterpret_cast<uint64_t>(now);
  sonde::ForgetMappings(move.to, move.to + move.new_bytes);
  sonde::MoveMappings(held, move);
  return now;
}

bool Counts() { return sonde::g_gap_in_use.load(std::memory_order_relaxed) == sonde::kWhileOn; }

}  // namespace

// The code of the allocator that serves malloc. Before the hooks count.
extern "C" __attribute__((visibility("hidden"))) void SondeSetAllocatorCode(uint64_t low,
                                                                            uint64_t high) {
  g_allocator_low.store(low, std::memory_order_relaxed);
  g_allocator_high.store(high, std::memory_order_relaxed);
}

SONDE_EXPORT void* mmap(void* where, size_t bytes, int protection, int flags, int fd,
                        off_t offset) noexcept {
  if (Counts()) [[unlikely]]
    return CountedMmap(where, bytes, protection, flags, fd, offset);
  return real_mmap.get()(where, bytes, protection, flags, fd, offset);
}

SONDE_EXPORT void* mmap64(void* where, size_t bytes, int protection, int flags, int fd,
                          off64_t offset) noexcept {
  if (Counts()) [[unlikely]]
    return CountedMmap64(where, bytes, protection, flags, fd, offset);
  return real_mmap64.get()(where, bytes, protection, flags, fd, offset);
}

SONDE_EXPORT int munmap(void* where, size_t bytes) noexcept {
  if (Counts() && sonde::AnyMappings()) [[unlikely]]
    return CountedMunmap(where, bytes);
  return real_munmap.get()(where, bytes);
}

// The fifth argument is in its register whether the caller gave one or not.
SONDE_EXPORT void* SondeMremap(void* old, size_t old_bytes, size_t new_bytes, int flags,
                               void* target) noexcept __asm__("mremap");
void* SondeMremap(void* old, size_t old_bytes, size_t new_bytes, int flags, void* target) noexcept {
  if (Counts() && sonde::AnyMappings()) [[unlikely]]
    return CountedMremap(old, old_bytes, new_bytes, flags, target);
  return RealMremap()(old, old_bytes, new_bytes, flags, target);
}
