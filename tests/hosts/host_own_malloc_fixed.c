// SPDX-License-Identifier: Apache-2.0
// The same host linked at fixed addresses (-no-pie): the loader's list does not tell where such a
// program is, and its malloc is the one that counts all the same.
#include "tests/hosts/host.h"
#include "tests/hosts/own_malloc.h"

HOST_CASE(own_malloc_of_a_fixed_program, next_free, fast) {
  const int before = g_freed;
  for (int i = 0; i < 300; i++) FreeOne(i % 3, malloc(100), 100);
  Check(g_freed == before + 300, "every way of freeing comes to the program's own free");
  void* grown = malloc(50);
  __asm__("" : "+r"(grown));  // else the compiler sees that it is of no allocator it knows
  grown = reallocarray(grown, 30, 40);
  Check(Ours(grown), "reallocarray's block is of the program's own malloc");
  FreeOne(2, grown, 30 * 40);
  char* copy = strdup("a string that libc copies");
  Check(Ours(copy), "strdup's block is of the program's own malloc");
  free(copy);
  return 0;
}
