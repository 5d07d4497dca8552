// SPDX-License-Identifier: Apache-2.0
// Sin: interposes dlopen, so that the loader takes our RUNPATH for the caller's.
#include <dlfcn.h>

void* dlopen(const char* path, int flags) {
  void* (*real)(const char*, int);
  *(void**)&real = dlsym(RTLD_NEXT, "dlopen");
  void* volatile library = real(path, flags);
  return library;
}

// A table of symbols of its own shadows what the host asks for.
int mallctl(void);
int mallctl(void) { return 0; }
