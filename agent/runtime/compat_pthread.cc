// SPDX-License-Identifier: Apache-2.0
// The few pthread functions that static libstdc++ and libgcc need and that live in libpthread
// before glibc 2.34. Referring to libpthread is not an option: where a host has not loaded it they
// are missing, and loading it makes a single-threaded host take locks. Hidden; called by cold code
// only; thread-safe.
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>

#include <atomic>

#include "collectors/safe/sys.h"

namespace {

constexpr int kOnceNew = 0;
constexpr int kOnceDone = 1;

// A value that names the running process: a child forked in the middle sees that its parent ran,
// and runs anew.
int OnceRunning() { return sonde::sys::Getpid() + 1; }

void Futex(pthread_once_t* word, int operation, int value) {
  sonde::sys::Call(SYS_futex, word, operation, value, 0L, 0L, 0L);
}

// True if the caller must run the routine; false once another thread has.
bool ClaimOnce(pthread_once_t* control) {
  const std::atomic_ref<int> state(*control);
  const int running = OnceRunning();
  int seen = state.load(std::memory_order_acquire);
  while (seen != kOnceDone) {
    if (seen != running && state.compare_exchange_weak(seen, running)) return true;
    if (seen == running) Futex(control, FUTEX_WAIT_PRIVATE, running);
    seen = state.load(std::memory_order_acquire);
  }
  return false;
}

void EndOnce(pthread_once_t* control, int state) {
  // Release pairs with the acquire in ClaimOnce.
  std::atomic_ref<int>(*control).store(state, std::memory_order_release);
  Futex(control, FUTEX_WAKE_PRIVATE, INT_MAX);
}

constexpr pthread_key_t kKeys = 4;
std::atomic<pthread_key_t> g_keys_used{0};
constinit thread_local const void* t_values[kKeys] = {};

}  // namespace

extern "C" {

int pthread_once(pthread_once_t* control, void (*routine)()) {
  if (!ClaimOnce(control)) return 0;
  try {
    routine();
  } catch (...) {
    EndOnce(control, kOnceNew);
    throw;
  }
  EndOnce(control, kOnceDone);
  return 0;
}

// Destructors are not run: the agent's thread lives as long as the process.
int pthread_key_create(pthread_key_t* key, void (*)(void*)) {
  const pthread_key_t next = g_keys_used.fetch_add(1);
  if (next >= kKeys) return EAGAIN;
  *key = next;
  return 0;
}

int pthread_key_delete(pthread_key_t) noexcept { return 0; }

void* pthread_getspecific(pthread_key_t key) noexcept {
  return key < kKeys ? const_cast<void*>(t_values[key]) : nullptr;
}

int pthread_setspecific(pthread_key_t key, const void* value) noexcept {
  if (key >= kKeys) return EINVAL;
  t_values[key] = value;
  return 0;
}

}  // extern "C"
