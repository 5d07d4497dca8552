// SPDX-License-Identifier: Apache-2.0
// Sin: leaves a signal blocked in the host's mask.
#include <signal.h>
#include <stddef.h>

__attribute__((constructor)) static void Start(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
}
