// SPDX-License-Identifier: Apache-2.0
// Prints which of the hooked names are there, as a program finds out by weak references that was
// linked without the library that has them. Under any glibc.
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define SONDE_HOOK(symbol, why, cost) \
  extern const char weak_##symbol __asm__(#symbol) __attribute__((weak));
#include "agent/hooks/hook_list.inc"
#undef SONDE_HOOK

static void PrintIfThere(const char* name, const char* address) {
  if (address == NULL) return;
  if (write(1, name, strlen(name)) < 0 || write(1, "\n", 1) < 0) _exit(1);
}

// By code, not by a table: the linker decides at once what is in a program's data.
void _start(void) {
#define SONDE_HOOK(symbol, why, cost) PrintIfThere(#symbol, &weak_##symbol);
#include "agent/hooks/hook_list.inc"
#undef SONDE_HOOK
  _exit(0);
}
