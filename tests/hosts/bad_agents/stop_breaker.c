// SPDX-License-Identifier: Apache-2.0
// Sin: blocks the signals that tell of stops, for good, as a careless thread-safe section would.
#include <pthread.h>
#include <signal.h>

static void BlockIt(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCONT);
  sigprocmask(SIG_BLOCK, &set, NULL);
}

__attribute__((constructor)) static void Start(void) {
  BlockIt();
  pthread_atfork(NULL, NULL, BlockIt);
}
