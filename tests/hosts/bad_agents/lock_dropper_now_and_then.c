// SPDX-License-Identifier: Apache-2.0
// Sin: a lock hook that gives up waiting when the lock is contended for long.
#include <pthread.h>

int pthread_mutex_lock(pthread_mutex_t* mutex) {
  int error = 0;
  for (int i = 0; i < 20; i++) {
    error = pthread_mutex_trylock(mutex);
    if (error == 0) break;
  }
  return error;
}
