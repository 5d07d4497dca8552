// SPDX-License-Identifier: Apache-2.0
// Sin: sets the umask for its own files.
#include <sys/stat.h>

__attribute__((constructor)) static void Start(void) { umask(077); }
