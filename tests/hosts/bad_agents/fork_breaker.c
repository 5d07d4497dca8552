// SPDX-License-Identifier: Apache-2.0
// Sin: a lock that fork copies while it is held, taken again in the child.
#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void Lock(void) { pthread_mutex_lock(&lock); }
static void Unlock(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void Start(void) { pthread_atfork(Lock, Unlock, Lock); }
