// SPDX-License-Identifier: Apache-2.0
// Sin: ignores SIGPIPE for the whole process, as HTTP libraries do.
#include <signal.h>

__attribute__((constructor)) static void Start(void) { signal(SIGPIPE, SIG_IGN); }
