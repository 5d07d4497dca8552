// SPDX-License-Identifier: Apache-2.0
// Sin: a hook of poll that allocates, though handlers may call poll.
#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>

int poll(struct pollfd* fds, nfds_t count, int timeout_ms) {
  int (*real)(struct pollfd*, nfds_t, int);
  *(void**)&real = dlsym(RTLD_NEXT, "poll");
  void* volatile block = calloc(1, 3000);
  free(block);
  return real(fds, count, timeout_ms);
}
