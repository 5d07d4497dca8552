// SPDX-License-Identifier: Apache-2.0
// Sins: an allocation hook that trusts in the alignment of its caller's stack, and takes 2 KiB of
// it.
#include <dlfcn.h>
#include <stddef.h>

void* malloc(size_t size) {
  static void* (*real)(size_t);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "malloc");
  char room[2048] __attribute__((aligned(16)));
  __asm__ volatile("movaps %%xmm0, %0" : "=m"(room));
  return real(size);
}
