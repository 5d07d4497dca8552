// SPDX-License-Identifier: Apache-2.0
// Sin: holds on to the directory that the host was started in.
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void Start(void) {
  if (open(".", O_PATH | O_CLOEXEC) < 0) _exit(1);
}
