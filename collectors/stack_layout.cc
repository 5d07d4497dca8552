// SPDX-License-Identifier: Apache-2.0
#include "collectors/stack_layout.h"

#include <sys/auxv.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "collectors/unwind_tables_maps.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = 4096;

uint64_t EndOfMainStack(const ProcessMemory& memory) {
  MapsReader maps(memory);
  uint64_t end = 0;
  for (MappedRegion region; maps.Next(&region);) {
    if (region.name == "[stack]") end = region.high;
  }
  return maps.failed() ? 0 : end;
}

bool MayReadThreadPointer() {
  constexpr unsigned long kFsgsbase = 1 << 1;  // HWCAP2_FSGSBASE
  return (getauxval(AT_HWCAP2) & kFsgsbase) != 0;
}

// `block` and `size` are the stack that holds `sp` and, at its very end, the descriptor.
bool IsStackOf(uint64_t sp, uint64_t descriptor, uint64_t block, uint64_t size) {
  constexpr uint64_t kLargest = uint64_t{1} << 30;
  constexpr uint64_t kLargestDescriptor = uint64_t{16} << 10;
  const uint64_t end = block + size;
  return block % kPage == 0 && size % kPage == 0 && size <= kLargest && block <= sp &&
         descriptor < end && end - descriptor <= kLargestDescriptor;
}

// glibc has the two side by side since there are pthreads. 0: not found, or more than once.
uint32_t FindBlockOffset(const ProcessMemory& memory) {
  uint64_t words[512];
  uint64_t descriptor;
  asm volatile("rdfsbase %0" : "=r"(descriptor));
  const auto sp = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  const uint64_t to_page = (descriptor | (kPage - 1)) + 1 - descriptor;
  size_t bytes = std::min<uint64_t>(to_page, sizeof(words));
  if (sp >= descriptor || !memory.Read(descriptor, words, bytes)) return 0;
  if (memory.Read(descriptor + bytes, reinterpret_cast<uint8_t*>(words) + bytes,
                  sizeof(words) - bytes)) {
    bytes = sizeof(words);
  }
  uint32_t found = 0;
  for (size_t i = 1; (i + 1) * sizeof(uint64_t) < bytes; ++i) {
    if (!IsStackOf(sp, descriptor, words[i], words[i + 1])) continue;
    if (found != 0) return 0;
    found = static_cast<uint32_t>(i * sizeof(uint64_t));
  }
  return found;
}

}  // namespace

StackLayout FindStackLayout(const ProcessMemory& memory) {
  StackLayout layout;
  layout.main_high = EndOfMainStack(memory);
  if (MayReadThreadPointer()) layout.block_offset = FindBlockOffset(memory);
  return layout;
}

}  // namespace sonde
