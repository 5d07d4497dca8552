// SPDX-License-Identifier: Apache-2.0
// Opened with RTLD_DEEPBIND: its malloc is libc's, whatever is preloaded.
#include <stdlib.h>
#include <string.h>

void* Make(size_t size) { return memset(malloc(size), 5, size); }
