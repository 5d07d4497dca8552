// SPDX-License-Identifier: Apache-2.0
// Sin: writes a last word at the end of the process.
#include <unistd.h>

__attribute__((destructor)) static void LastWord(void) {
  if (write(2, "agent: bye\n", 11) < 0) _exit(1);
}
