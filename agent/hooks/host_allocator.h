// SPDX-License-Identifier: Apache-2.0
// Whose allocation functions the heap hooks forward to. libsonde.so: the next object's
// (host_allocator.cc); libsonde-tcmalloc.so: its own, where that serves (agent/tcmalloc).
#pragma once

namespace sonde::hooks {

// Malloc-safe: may not allocate or block. nullptr: there is none of that name. Every thread finds
// the same.
void* HostAllocator(const char* name, const char* version);

}  // namespace sonde::hooks
