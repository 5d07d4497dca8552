// SPDX-License-Identifier: Apache-2.0
// Does what its lines of stdin say, and says "done": peak (48 MiB), drop (they are gone), late (6
// MiB), slow (102 MiB in seconds), holes (96 MiB, of which two pages in three are given back). Ends
// with stdin.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kMiB = 1 << 20, kHoles = 24 << 10, kHoleBytes = 4080 };

static void* blocks[48];
static void* kept[6];
static void* pages[kHoles];

__attribute__((noinline)) static void PeakOfTheService(void) {
  for (int i = 0; i < 48; i++) blocks[i] = memset(malloc(kMiB), 1, kMiB);
}

__attribute__((noinline)) static void LateInTheService(void) {
  for (int i = 0; i < 6; i++) kept[i] = memset(malloc(kMiB), 1, kMiB);
}

// Two in three of them, so that whole pages are free between those that are not.
__attribute__((noinline)) static void HolesOfTheService(void) {
  for (int i = 0; i < kHoles; i++) pages[i] = memset(malloc(kHoleBytes), 1, kHoleBytes);
  for (int i = 0; i < kHoles; i++)
    if (i % 3 != 0) free(pages[i]);
}

// Faster than a table of 16,384 samples at an interval of 4 KiB could bear, slower than a second.
__attribute__((noinline)) static void SlowGrowth(void) {
  for (int i = 0; i < 26000; i++) {
    if (malloc(4096) == NULL) abort();
    if (i % 100 == 0) usleep(25000);
  }
}

int main(void) {
  char line[16];
  printf("waiting\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strcmp(line, "peak\n") == 0) PeakOfTheService();
    if (strcmp(line, "drop\n") == 0)
      for (int i = 0; i < 48; i++) free(blocks[i]);
    if (strcmp(line, "late\n") == 0) LateInTheService();
    if (strcmp(line, "slow\n") == 0) SlowGrowth();
    if (strcmp(line, "holes\n") == 0) HolesOfTheService();
    printf("done\n");
    fflush(stdout);
  }
  return 0;
}
