// SPDX-License-Identifier: Apache-2.0
// libc's own allocator, for blocks that it has made and for processes in which it, or the service's
// own, stays in charge. Internal to agent/tcmalloc.
#pragma once

#include <stddef.h>

namespace sonde::tcmalloc {

struct LibcAllocator {
  void (*free)(void*) = nullptr;
  void* (*realloc)(void*, size_t) = nullptr;
  size_t (*malloc_usable_size)(void*) = nullptr;
};
// Of the next object after libsonde-tcmalloc.so; set before Serving() first says anything. Any
// thread.
extern LibcAllocator g_libc;

// Cold path only. In gperftools.cc: once, when it is decided that we serve.
void Start();

}  // namespace sonde::tcmalloc
