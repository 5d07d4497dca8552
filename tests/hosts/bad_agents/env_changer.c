// SPDX-License-Identifier: Apache-2.0
// Sin: leaves a variable in the environment.
#include <stdlib.h>

__attribute__((constructor)) static void Start(void) { setenv("LEFT_BEHIND", "1", 1); }
