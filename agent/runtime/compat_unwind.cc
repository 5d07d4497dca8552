// SPDX-License-Identifier: Apache-2.0
// _dl_find_object for glibc before 2.35. The static unwinder of GCC 12 and later calls it at every
// throw and has no other way: an answer of "not found" ends the process. Code of ours is found
// without the loader, from our own program headers: an exception inside the agent takes no lock
// that a host thread may hold. Thread-safe.
#include <link.h>
#include <stdint.h>

extern "C" {
// Set by the linker to the first byte of this object.
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));  // NOLINT
}

namespace {

// As in <dlfcn.h> of glibc 2.35, which older build machines lack.
struct FoundObject {
  uint64_t flags;
  void* map_start;
  void* map_end;
  void* link_map;
  void* eh_frame;
  uint64_t reserved[7];
};

struct Query {
  uintptr_t pc;
  FoundObject* found;
};

void* Pointer(uintptr_t address) { return reinterpret_cast<void*>(address); }

bool FindIn(const ElfW(Phdr) * headers, size_t count, uintptr_t bias, const Query& query) {
  uintptr_t low = UINTPTR_MAX;
  uintptr_t high = 0;
  uintptr_t eh_frame = 0;
  bool hit = false;
  for (const ElfW(Phdr)* header = headers; header != headers + count; ++header) {
    const uintptr_t start = bias + header->p_vaddr;
    const uintptr_t end = start + header->p_memsz;
    if (header->p_type == PT_GNU_EH_FRAME) eh_frame = start;
    if (header->p_type != PT_LOAD) continue;
    low = start < low ? start : low;
    high = end > high ? end : high;
    hit = hit || (query.pc >= start && query.pc < end);
  }
  if (!hit || eh_frame == 0) return false;
  *query.found = {.flags = 0,
                  .map_start = Pointer(low),
                  .map_end = Pointer(high),
                  .link_map = nullptr,
                  .eh_frame = Pointer(eh_frame),
                  .reserved = {}};
  return true;
}

bool FindInOurselves(const Query& query) {
  const auto bias = reinterpret_cast<uintptr_t>(&__ehdr_start);
  const auto* headers = reinterpret_cast<const ElfW(Phdr)*>(bias + __ehdr_start.e_phoff);
  return FindIn(headers, __ehdr_start.e_phnum, bias, query);
}

}  // namespace

// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" int sonde_find_object(void* pc, FoundObject* found) asm("_dl_find_object");
int sonde_find_object(void* pc, FoundObject* found) {
  Query query = {reinterpret_cast<uintptr_t>(pc), found};
  return FindInOurselves(query) ? 0 : -1;
}
