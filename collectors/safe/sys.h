// SPDX-License-Identifier: Apache-2.0
// System calls without libc: no errno, no cancellation point, no hook of ours in the way.
// Called from every part of the agent. Every function is async-signal-safe and malloc-safe.
// A result from -4095 to -1 is a negated errno.
#pragma once

#include <stdint.h>
#include <sys/syscall.h>

#if !defined(__x86_64__)
#error "Sonde runs on x86-64 only, so far"
#endif

namespace sonde::sys {

// Async-signal-safe.
inline long Call6(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

// Async-signal-safe.
template <typename T>
inline long Word(T* pointer) {
  return reinterpret_cast<long>(pointer);
}
template <typename T>
inline long Word(T value) {
  return static_cast<long>(value);
}

// Async-signal-safe.
template <typename A = long, typename B = long, typename C = long, typename D = long,
          typename E = long, typename F = long>
inline long Call(long number, A a = {}, B b = {}, C c = {}, D d = {}, E e = {}, F f = {}) {
  return Call6(number, Word(a), Word(b), Word(c), Word(d), Word(e), Word(f));
}

inline bool Failed(long result) { return result < 0 && result >= -4095; }

inline int Getpid() { return static_cast<int>(Call(SYS_getpid)); }
inline int Gettid() { return static_cast<int>(Call(SYS_gettid)); }

}  // namespace sonde::sys
