// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "collectors/allocator_gperftools.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint64_t> words(size / sizeof(uint64_t));
  if (!words.empty()) memcpy(words.data(), data, words.size() * sizeof(uint64_t));
  const sonde::GperftoolsRules rules{size % 3 + 1, nullptr, {{0x100, 0x10000}}};
  const auto samples = sonde::ParseGperftoolsTraces(words, rules);
  if (samples.stacks.size() > sonde::kMaxAllocatorStacks) __builtin_trap();
  for (const sonde::AllocatorStack& stack : samples.stacks) {
    if (stack.frames.empty() || stack.inuse_bytes < 0 || stack.inuse_objects < 0) __builtin_trap();
  }
  return 0;
}
