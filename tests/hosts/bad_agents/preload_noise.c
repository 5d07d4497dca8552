// SPDX-License-Identifier: Apache-2.0
// Sin: a line on stderr in every process.
#include <stdio.h>

__attribute__((constructor)) static void Start(void) { fputs("agent: loaded\n", stderr); }
