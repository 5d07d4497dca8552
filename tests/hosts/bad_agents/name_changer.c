// SPDX-License-Identifier: Apache-2.0
// Sin: names the host's main thread.
#include <sys/prctl.h>

__attribute__((constructor)) static void Start(void) { prctl(PR_SET_NAME, "agent"); }
