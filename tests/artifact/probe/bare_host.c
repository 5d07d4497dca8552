// SPDX-License-Identifier: Apache-2.0
// A program for any glibc: linked without start files, which name the build machine's version of
// __libc_start_main. Constructors of preloaded libraries run before it.
#include <unistd.h>

void _start(void) { _exit(77); }
