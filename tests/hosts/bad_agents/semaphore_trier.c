// SPDX-License-Identifier: Apache-2.0
// Sin: a hook of sem_wait that tries first: who is to be cancelled there gets the semaphore
// instead.
#include <dlfcn.h>
#include <semaphore.h>

int sem_wait(sem_t* semaphore) {
  int (*real)(sem_t*);
  *(void**)&real = dlsym(RTLD_NEXT, "sem_wait");
  return sem_trywait(semaphore) == 0 ? 0 : real(semaphore);
}
