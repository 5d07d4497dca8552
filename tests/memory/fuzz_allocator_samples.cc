// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "collectors/allocator_samples.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto samples =
      sonde::ParseJemallocDump(std::string_view(reinterpret_cast<const char*>(data), size));
  if (samples.stacks.size() > sonde::kMaxAllocatorStacks) __builtin_trap();
  for (const sonde::AllocatorStack& stack : samples.stacks) {
    if (stack.frames.empty() || stack.inuse_bytes < 0 || stack.inuse_objects < 0) __builtin_trap();
    if (stack.alloc_bytes < 0 || stack.alloc_objects < 0) __builtin_trap();
  }
  return 0;
}
