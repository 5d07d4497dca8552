// SPDX-License-Identifier: Apache-2.0
// Keeps 20,000 blocks of 1,000 bytes, and as many of 30,000 bytes as the first argument says.
#include <stdlib.h>
#include <string.h>

void* volatile last;

__attribute__((noinline)) void KeepSmall(void) { last = memset(malloc(1000), 1, 1000); }
__attribute__((noinline)) void KeepLarge(void) { last = memset(malloc(30000), 1, 30000); }

int main(int count, char** arguments) {
  const int large = count > 1 ? atoi(arguments[1]) : 0;
  for (int i = 0; i < 20000; ++i) KeepSmall();
  for (int i = 0; i < large; ++i) KeepLarge();
  return 0;
}
