// SPDX-License-Identifier: Apache-2.0
#include "workload.h"

#include <alloca.h>
#include <ctype.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define NOINLINE __attribute__((noinline, noclone))

namespace workload {
namespace {

volatile long g_sink;
Leaf g_leaf;
jmp_buf g_back;

int CompareAndCall(const void* a, const void* b) {
  g_leaf();
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

[[noreturn]] NOINLINE void CallAndLeave(Leaf leaf) {
  leaf();
  longjmp(g_back, 1);
}

NOINLINE void CallsNoReturn(Leaf leaf) { CallAndLeave(leaf); }

NOINLINE void Throw(int depth) {
  if (depth == 0) throw depth;
  Throw(depth - 1);
  g_sink = g_sink + 1;
}

NOINLINE long Add(long a, long b) { return a + b * 3; }

}  // namespace

NOINLINE void Plain(int depth, Leaf leaf) {
  volatile char pad[40];
  pad[0] = static_cast<char>(depth);
  if (depth == 0) {
    leaf();
  } else {
    Plain(depth - 1, leaf);
  }
  g_sink = g_sink + pad[0];
}

NOINLINE void Alloca(int bytes, Leaf leaf) {
  auto* const block = static_cast<volatile char*>(alloca(static_cast<size_t>(bytes)));
  block[0] = 1;
  leaf();
  g_sink = g_sink + block[0];
}

NOINLINE void Aligned(Leaf leaf) {
  alignas(64) volatile char block[128];
  block[5] = 1;
  leaf();
  g_sink = g_sink + block[5];
}

NOINLINE void AlignedWithStackArguments(Leaf leaf, long b, long c, long d, long e, long f, long g,
                                        long h) {
  alignas(64) volatile long block[16];
  auto* const more = static_cast<volatile char*>(alloca(static_cast<size_t>(g + 16)));
  block[3] = b + c + d + e + f + g + h;
  more[0] = 2;
  leaf();
  g_sink = block[3] + more[0] + h;
}

NOINLINE void TailCall(Leaf leaf) { return leaf(); }

NOINLINE void EndsInNoReturn(Leaf leaf) {
  if (setjmp(g_back) == 0) CallsNoReturn(leaf);
}

NOINLINE void ThroughLibc(Leaf leaf) {
  int numbers[] = {3, 1, 2};
  g_leaf = leaf;
  qsort(numbers, 3, sizeof(numbers[0]), CompareAndCall);
  g_sink = numbers[0];
}

// None of these is called before: the first call of each goes through the dynamic linker.
NOINLINE void ThroughPlt() {
  for (int i = 0; i < 2; ++i) {
    g_sink = toupper(static_cast<int>(g_sink & 0x7f));
    g_sink = wctob(L'x') + labs(g_sink);
    g_sink = static_cast<long>(strspn("aab", "a"));
  }
}

NOINLINE void Exceptions() {
  try {
    Throw(2);
  } catch (int value) {
    g_sink = value;
  }
}

NOINLINE int Arithmetic() {
  long value = 1;
  for (int i = 0; i < 4; ++i) value = Add(value, AsmLeaf(i));
  return static_cast<int>(value);
}

}  // namespace workload
