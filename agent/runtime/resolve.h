// SPDX-License-Identifier: Apache-2.0
// Finds the definition that a hook forwards to: what dlsym(RTLD_NEXT, name) would return from
// libsonde.so, without dlsym (another library before glibc 2.34; takes the loader's lock;
// allocates; sets the host's dlerror). Walks the loader's list of objects behind ours in load
// order, which is the global search order, and looks into each one's hash table (DT_GNU_HASH, else
// DT_HASH).
//
// Differs from dlsym in one way, on purpose: the list also holds what was opened with RTLD_LOCAL,
// at its end. A plug-in that brings its own libpthread reaches our pthread_create, and only that
// libpthread has the real one.
//
// Called from the constructor, from hooks that run before it, and from cold code. No lock, no
// allocation, no libc; any number of threads. While another thread is inside dlclose the list may
// change under the walk: resolve at load what can be resolved then. Reads nothing outside the
// object that it looks into, however damaged its tables are.
#pragma once

#include <link.h>
#include <stddef.h>
#include <stdint.h>

#include <span>

namespace sonde::runtime {

// One symbol to look for, and where the answer goes. Without a version the default one is meant: a
// hidden version (name@VERSION, kept for old programs) is found only when asked for by name.
struct SymbolRequest {
  const char* name;
  const char* version = nullptr;
  void* address = nullptr;  // stays null if no object defines it
};

// Malloc-safe: may not allocate or block. Fills what is still null, in one pass over the objects.
void ResolveNext(std::span<SymbolRequest> requests);

// Malloc-safe: may not allocate or block. nullptr if no object behind ours defines it.
[[nodiscard]] void* NextSymbol(const char* name, const char* version = nullptr);

// Malloc-safe: may not allocate or block. As ResolveNext, from `first` to the end of the list.
void ResolveFrom(const link_map* first, std::span<SymbolRequest> requests);

}  // namespace sonde::runtime
