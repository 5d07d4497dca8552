// SPDX-License-Identifier: Apache-2.0
// memcpy and memset for the code that clang makes: where structs are copied or zeroed it calls
// them, where gcc writes the instructions. libc's are not for us: they could be anybody's in a
// process with preloaded libraries, and the first call may have to be bound. In clang's builds
// only, and hidden in what is linked from them.
#include <stddef.h>

extern "C" {

// Async-signal-safe.
__attribute__((visibility("hidden"))) void* memcpy(void* __restrict to, const void* __restrict from,
                                                   size_t size) {
  void* at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
  return to;
}

// Async-signal-safe.
__attribute__((visibility("hidden"))) void* memset(void* to, int byte, size_t size) {
  void* at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
  return to;
}

}  // extern "C"
