// SPDX-License-Identifier: Apache-2.0
// Sin: a helper process that the host finds among its children.
#include <unistd.h>

__attribute__((constructor)) static void Start(void) {
  if (fork() == 0) _exit(0);
}
