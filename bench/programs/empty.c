// SPDX-License-Identifier: Apache-2.0
// A library that does nothing: what preloading anything at all costs.
int sonde_bench_empty(void);
int sonde_bench_empty(void) { return 0; }
