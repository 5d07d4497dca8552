// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/resolve.h"

#include <sys/auxv.h>

#include "agent/runtime/elf_symbols.h"

namespace sonde::runtime {
namespace {

// The kernel's vdso stands in the list but is in no search order; its clock_gettime must not be
// found.
bool IsVdso(const link_map& object) {
  constexpr uintptr_t kMaxVdsoBytes = uintptr_t{64} << 10;
  const uintptr_t start = getauxval(AT_SYSINFO_EHDR);
  const auto dynamic = reinterpret_cast<uintptr_t>(object.l_ld);
  return start != 0 && dynamic >= start && dynamic - start < kMaxVdsoBytes;
}

// Returns how many requests are still open.
size_t ResolveIn(const ElfSymbols& symbols, std::span<SymbolRequest> requests) {
  size_t open = 0;
  for (SymbolRequest& request : requests) {
    if (request.address == nullptr) {
      request.address = symbols.Find(request.name, GnuHash(request.name), request.version);
    }
    if (request.address == nullptr) ++open;
  }
  return open;
}

// _DYNAMIC, declared by <link.h>, is our own dynamic section: it marks our entry in the loader's
// list.
const link_map* NextObject() {
  const link_map* object = _r_debug.r_map;
  while (object != nullptr && object->l_ld != _DYNAMIC) object = object->l_next;
  return object != nullptr ? object->l_next : nullptr;
}

}  // namespace

void ResolveFrom(const link_map* first, std::span<SymbolRequest> requests) {
  for (const link_map* object = first; object != nullptr; object = object->l_next) {
    if (IsVdso(*object)) continue;
    if (ResolveIn(ElfSymbols(*object), requests) == 0) return;
  }
}

void ResolveNext(std::span<SymbolRequest> requests) { ResolveFrom(NextObject(), requests); }

void* NextSymbol(const char* name, const char* version) {
  SymbolRequest request = {.name = name, .version = version};
  ResolveNext({&request, 1});
  return request.address;
}

}  // namespace sonde::runtime
