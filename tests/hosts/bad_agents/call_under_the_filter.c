// SPDX-License-Identifier: Apache-2.0
// Sin: starts anew after each prctl of the host, whatever filter is there by then.
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int prctl(int option, ...) {
  va_list arguments;
  va_start(arguments, option);
  const unsigned long first = va_arg(arguments, unsigned long);
  va_end(arguments);
  const int result = (int)syscall(SYS_prctl, option, first, 0UL, 0UL, 0UL);
  syscall(SYS_close_range, ~0U, ~0U, 0U);
  return result;
}
