// SPDX-License-Identifier: Apache-2.0
// A plug-in that takes most of what the loader reserves for late static TLS.
__thread volatile char static_tls_reserve[1280] __attribute__((tls_model("initial-exec")));

int StaticTlsValue(int value);
int StaticTlsValue(int value) {
  static_tls_reserve[value] = (char)value;
  return static_tls_reserve[value] + (int)sizeof static_tls_reserve;
}
