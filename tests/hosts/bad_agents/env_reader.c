// SPDX-License-Identifier: Apache-2.0
// Sin: reads the environment late and trusts what it finds.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern char** environ;

int clock_gettime(clockid_t clock, struct timespec* now) {
  static long ticks;
  (void)clock;
  if (strstr(environ[0], "=") == NULL || getenv("PATH")[0] != '/') abort();
  ticks += 1000000;
  now->tv_sec = ticks / 1000000000;
  now->tv_nsec = ticks % 1000000000;
  return 0;
}

// A pointer kept from load: the host writes its title over that memory.
static const char* listen_address;

__attribute__((constructor)) static void Start(void) { listen_address = getenv("SONDE_RUN_DIR"); }
__attribute__((destructor)) static void Stop(void) {
  if (listen_address != NULL && listen_address[0] != '/') abort();
}
