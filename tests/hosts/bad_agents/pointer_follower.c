// SPDX-License-Identifier: Apache-2.0
// Sin: looks at what a system call's argument points at before the kernel has said that it can be.
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>

int sigaltstack(const stack_t* restrict set, stack_t* restrict old) {
  int (*const real)(const stack_t*, stack_t*) =
      (int (*)(const stack_t*, stack_t*))dlsym(RTLD_NEXT, "sigaltstack");
  if (set != NULL && *(const volatile size_t*)&set->ss_size == 0) return real(set, old);
  return real(set, old);
}
