// SPDX-License-Identifier: Apache-2.0
// Sin: an allocation hook that computes with the floating-point state of its caller.
#include <dlfcn.h>
#include <stddef.h>

static volatile double weight = 1;

void* malloc(size_t size) {
  static void* (*real)(size_t);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "malloc");
  weight = 1 / (weight + (double)size / 3);
  return real(size);
}
