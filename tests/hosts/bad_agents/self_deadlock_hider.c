// SPDX-License-Identifier: Apache-2.0
// Sin: a lock hook that tries and gives its own try's answer: who has the lock already is told that
// it is busy, not that this would be a deadlock.
#include <pthread.h>

int pthread_rwlock_wrlock(pthread_rwlock_t* lock) { return pthread_rwlock_trywrlock(lock); }
