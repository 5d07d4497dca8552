// SPDX-License-Identifier: Apache-2.0
// An idle service: waits in poll() until it is ended by a signal, or for ten minutes at most.
#include "bench/programs/clocks.h"

int main() {
  bench::Settle(600'000);
  return 0;
}
