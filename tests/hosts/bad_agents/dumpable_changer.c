// SPDX-License-Identifier: Apache-2.0
// Sin: makes the process dumpable again, to read its own /proc, and forgets to undo it.
#include <sys/prctl.h>

__attribute__((constructor)) static void Start(void) {
  prctl(PR_SET_DUMPABLE, 1);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
