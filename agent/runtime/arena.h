// SPDX-License-Identifier: Apache-2.0
// The agent's own memory: what operator new and (by the linker's --wrap) malloc of everything
// linked into libsonde.so come down to. The host's malloc is never called, so the agent works when
// the host's heap is exhausted or corrupt and never shows up in its figures.
//
//   operator new ──┐
//   __wrap_malloc ─┴─► boot reserve (static, 80 KiB, never freed)
//                 └──► slabs: 64 KiB each, one size class, up to kLargestClass ─► an empty one is
//                 unmapped └──► large blocks: one mapping each
//
// Who calls it: cold code only, that is the agent thread and, rarely, a host thread inside a hook.
// Thread-safe; one futex lock, never held across anything but this code. A thread that re-enters
// while it holds the lock (a host's signal handler that lands in a hook) is refused instead of
// deadlocked. Not async-signal-safe. errno is kept, but for ENOMEM from the malloc family.
//
// Memory bound: the cap (kDefaultArenaCapBytes unless set) counts whole mappings. Above it an
// allocation fails: nullptr, or std::bad_alloc from operator new; cold code must survive that.
// Nothing is mapped before the boot reserve is used up.
//
// fork: the child keeps the parent's blocks readable (copy on write; they are not MADV_DONTFORK,
// because a dangling pointer would then crash the host), but must not carve from them: fork copies
// page by page while another thread may be inside the arena, so the copy may be torn.
// ArenaAfterForkInChild gives them up.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sonde::runtime {

inline constexpr size_t kDefaultArenaCapBytes = size_t{16} << 20;
inline constexpr size_t kArenaMaxAlignment = size_t{32} << 10;

struct ArenaStats {
  uint64_t cap_bytes;
  uint64_t mapped_bytes;       // what counts against the cap
  uint64_t peak_mapped_bytes;  // since start, or since the fork
  uint64_t abandoned_bytes;    // mapped by a parent process, not counted against the cap
  uint64_t boot_bytes;         // used of the static boot reserve
  uint64_t live_blocks;        // handed out and not freed, without the boot reserve's
  uint64_t refused_over_cap;
  uint64_t refused_by_kernel;
  uint64_t refused_reentry;
  uint64_t ignored_frees;  // of blocks that are not the arena's, are a parent's, or came while
                           // re-entered
};

// Cold path only. Returns nullptr when refused. `alignment` is a power of two up to
// kArenaMaxAlignment. A size of 0 gives a block of its own.
[[nodiscard]] void* ArenaAllocate(size_t size, size_t alignment = 16);

// Cold path only. As realloc: keeps the old block and returns nullptr when refused; a null `block`
// allocates.
[[nodiscard]] void* ArenaReallocate(void* block, size_t size);

// Cold path only. nullptr is ignored.
void ArenaFree(void* block);

// Cold path only. Bytes that may be used in a block; 0 for nullptr.
size_t ArenaUsableSize(const void* block);

// Cold path only. In force at once for what is mapped from now on; nothing is taken back.
void ArenaSetCap(size_t cap_bytes);

// Cold path only. Lets new mappings appear as "[anon:sonde arena]" in /proc/PID/maps where the
// kernel can do it. Off until told, and to be switched off when the host takes a seccomp filter: it
// costs a system call (prctl) that a strict filter may punish.
void ArenaNameMappings(bool on);

// Cold path only.
ArenaStats ArenaGetStats();

// Async-signal-safe. To be called in a forked child before its first allocation, while it has one
// thread.
void ArenaAfterForkInChild();

}  // namespace sonde::runtime
