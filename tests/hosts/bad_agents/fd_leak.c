// SPDX-License-Identifier: Apache-2.0
// Sin: keeps a descriptor of its own in the host's table.
#include <fcntl.h>

int leaked;

__attribute__((constructor)) static void Start(void) {
  leaked = open("/dev/null", O_RDONLY | O_CLOEXEC);
}
