// SPDX-License-Identifier: Apache-2.0
// What the compiler's start files would bring, and what must win over libc's definition. Always
// part of libsonde.so; never visible outside (tests/artifact).
#include <pthread.h>
#include <stddef.h>

// NOLINTBEGIN(bugprone-reserved-identifier): names that the ABI gives.
extern "C" {

// Identifies the object that registers an atexit function.
__attribute__((visibility("hidden"))) void* __dso_handle = &__dso_handle;

// Destructors of static objects never run: at exit other threads, and hooks, still use them.
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }
int atexit(void (*)()) { return 0; }

// Only weakly referred to by the static libraries, so no archive member comes in for it.
[[noreturn]] void __cxa_pure_virtual() { __builtin_trap(); }

// libgcc refers to this weakly, to learn whether the process has threads. In glibc before 2.34 it
// is libpthread's, and a reference from us would bind differently from host to host.
int __pthread_key_create(pthread_key_t* key, void (*destructor)(void*)) {
  return pthread_key_create(key, destructor);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
