// SPDX-License-Identifier: Apache-2.0
// A host with thread-local data as large as some runtimes and simulations have. The C library takes
// it out of each thread's stack, an agent's own included.
#include <pthread.h>
#include <string.h>

#include "tests/hosts/host.h"

enum { kBytes = 480 * 1024 };
static __thread char block[kBytes];

static void* Fill(void* unused) {
  memset(block, 7, kBytes);
  Burn(40);
  int sum = 0;
  for (int i = 0; i < kBytes; i++) sum += block[i];
  Say("sum of this thread: %d", sum);
  return unused;
}

HOST_CASE(static_tls_of_480_kib, thread_on_a_small_stack, fast) {
  Fill(NULL);
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, Fill, NULL);
    pthread_join(thread, NULL);
  }
  Burn(300);
  return 0;
}
