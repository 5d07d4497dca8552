// SPDX-License-Identifier: Apache-2.0
// A host with an allocator of its own, linked into the program.
#include "tests/hosts/host.h"
#include "tests/hosts/own_malloc.h"

HOST_CASE(own_malloc_gets_its_blocks_back, next_free, fast) {
  int right = 0;
  for (int i = 0; i < 3000; i++) {
    void* block = malloc(100);
    memset(block, 1, 100);
    const int before = __atomic_load_n(&g_freed, __ATOMIC_RELAXED);
    FreeOne(i % 3, block, 100);
    right += __atomic_load_n(&g_freed, __ATOMIC_RELAXED) > before;
  }
  Say("own free saw %d of 3000\n", right);
  return 0;
}

HOST_CASE(own_malloc_serves_libc_too, next_free, fast) {
  const int before = g_freed;
  char* copy = strdup("a string that libc copies");
  Check(Ours(copy), "strdup's block is of the program's own malloc");
  free(copy);
  void* grown = reallocarray(NULL, 30, 40);
  Check(Ours(grown), "reallocarray's block is of the program's own malloc");
  FreeOne(1, grown, 30 * 40);
  Check(g_freed >= before + 2, "both came back");
  return 0;
}
