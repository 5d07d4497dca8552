// SPDX-License-Identifier: Apache-2.0
// Whether malloc is ours, and what the heap hooks forward to.
#include <link.h>
#include <malloc.h>

#include <atomic>
#include <string_view>

#include "agent/hooks/host_allocator.h"
#include "agent/runtime/elf_symbols.h"
#include "agent/runtime/resolve.h"
#include "agent/tcmalloc/allocator.h"
#include "agent/tcmalloc/libc.h"

namespace sonde::tcmalloc {

constinit LibcAllocator g_libc;

namespace {

enum class Decision : int { kNone, kServes, kStandsBack };
constinit std::atomic<Decision> g_decision{Decision::kNone};

bool Defines(const link_map& object, const char* name) {
  return runtime::ElfSymbols(object).Find(name, runtime::GnuHash(name), nullptr) != nullptr;
}

// In the loader's order, which is that of the global scope: the first malloc is ours and the second
// one libc's. Else the program, or what it is linked with or preloaded with, has an allocator of
// its own, with functions that we do not know: blocks of both kinds must not meet.
bool OnlyLibcIsBehindUs() {
  bool seen_ours = false;
  for (const link_map* at = _r_debug.r_map; at != nullptr; at = at->l_next) {
    if (at->l_ld == _DYNAMIC) {
      seen_ours = true;
    } else if (Defines(*at, "malloc")) {
      return seen_ours && Defines(*at, "gnu_get_libc_version");
    }
  }
  return false;
}

template <typename Function>
bool FindLibc(const char* name, Function** out) {
  *out = reinterpret_cast<Function*>(runtime::NextSymbol(name));
  return *out != nullptr;
}

bool FindLibcAllocator(LibcAllocator* libc) {
  return FindLibc("free", &libc->free) && FindLibc("realloc", &libc->realloc) &&
         FindLibc("malloc_usable_size", &libc->malloc_usable_size);
}

// Before the process has a second thread: the loader itself allocates. Should two threads meet here
// all the same, they find the same, and one starts the allocator.
Decision Decide() {
  LibcAllocator libc;
  const bool serves = OnlyLibcIsBehindUs() && FindLibcAllocator(&libc);
  if (serves) g_libc = libc;
  const Decision decision = serves ? Decision::kServes : Decision::kStandsBack;
  Decision before = Decision::kNone;
  if (g_decision.compare_exchange_strong(before, decision) && serves) Start();
  return decision;
}

struct Named {
  std::string_view name;
  void* function;
};

template <typename Function>
void* Address(Function* function) {
  return reinterpret_cast<void*>(function);
}

void* FunctionNamed(std::string_view name) {
  const Named all[] = {
      {"malloc", Address(Malloc)},
      {"calloc", Address(Calloc)},
      {"realloc", Address(Realloc)},
      {"reallocarray", Address(Reallocarray)},
      {"memalign", Address(Memalign)},
      {"aligned_alloc", Address(Memalign)},
      {"posix_memalign", Address(PosixMemalign)},
      {"valloc", Address(Valloc)},
      {"pvalloc", Address(Pvalloc)},
      {"free", Address(Free)},
      {"cfree", Address(Free)},
      {"free_sized", Address(FreeSized)},
      {"free_aligned_sized", Address(FreeAlignedSized)},
      {"malloc_usable_size", Address(UsableSize)},
  };
  for (const Named& one : all) {
    if (one.name == name) return one.function;
  }
  return nullptr;
}

}  // namespace

bool Serving() {
  Decision decision = g_decision.load(std::memory_order_acquire);
  if (decision == Decision::kNone) [[unlikely]]
    decision = Decide();
  return decision == Decision::kServes;
}

}  // namespace sonde::tcmalloc

namespace sonde::hooks {

void* HostAllocator(const char* name, const char* version) {
  return tcmalloc::Serving() ? tcmalloc::FunctionNamed(name) : runtime::NextSymbol(name, version);
}

}  // namespace sonde::hooks
