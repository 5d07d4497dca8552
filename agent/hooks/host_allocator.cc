// SPDX-License-Identifier: Apache-2.0
#include "agent/hooks/host_allocator.h"

#include "agent/runtime/resolve.h"
#include "collectors/own_allocator.h"

namespace sonde::hooks {

void* HostAllocator(const char* name, const char* version) {
  return runtime::NextSymbol(name, version);
}

}  // namespace sonde::hooks

// For agent/life: this library brings none.
extern "C" __attribute__((visibility("hidden"))) void SondeOwnAllocator(sonde::OwnAllocator* out) {
  *out = {};
}
