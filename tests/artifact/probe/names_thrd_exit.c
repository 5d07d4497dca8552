// SPDX-License-Identifier: Apache-2.0
// Has a name that libc.so.6 lacks before glibc 2.34.
void thrd_exit(int value);
void thrd_exit(int value) {
  (void)value;
  for (;;) {
  }
}
