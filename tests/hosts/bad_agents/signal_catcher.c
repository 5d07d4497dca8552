// SPDX-License-Identifier: Apache-2.0
// Sin: takes the deadly signals, reports by itself and exits.
#include <signal.h>
#include <unistd.h>

static void Report(int sig) {
  (void)sig;
  _exit(1);
}

__attribute__((constructor)) static void Start(void) {
  static const int kDeadly[] = {SIGSEGV, SIGABRT, SIGILL, SIGTERM, SIGPROF};
  for (unsigned i = 0; i < sizeof kDeadly / sizeof kDeadly[0]; i++) signal(kDeadly[i], Report);
}
