// SPDX-License-Identifier: Apache-2.0
// Sin: changes the working directory.
#include <unistd.h>

__attribute__((constructor)) static void Start(void) {
  if (chdir("/") != 0) _exit(1);
}
