// SPDX-License-Identifier: Apache-2.0
// Sin: a thread that walks the loaded objects, for which libc holds the loader's lock, while the
// host forks.
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

static int Linger(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)info, (void)size, (void)unused;
  usleep(100);
  return 0;
}

static void* Walk(void* unused) {
  pthread_setname_np(pthread_self(), "sonde-bad");
  for (;;) dl_iterate_phdr(Linger, NULL);
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, Walk, NULL);
}
