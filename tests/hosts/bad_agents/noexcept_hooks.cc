// SPDX-License-Identifier: Apache-2.0
// Sin: hooks of cancellation points that are noexcept: the unwinding of a cancelled thread ends in
// std::terminate.
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

namespace {

// The header's declarations are not noexcept and would win over ours; hence the step between.
template <typename Function, typename... Arguments>
__attribute__((noinline)) int Forward(const char* name, Arguments... arguments) noexcept {
  volatile int result = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name))(arguments...);
  return result;
}

}  // namespace

extern "C" int poll(pollfd* fds, nfds_t count, int timeout_ms) {
  return Forward<int(pollfd*, nfds_t, int)>("poll", fds, count, timeout_ms);
}

extern "C" int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  return Forward<int(pthread_cond_t*, pthread_mutex_t*)>("pthread_cond_wait", condition, mutex);
}

extern "C" int usleep(useconds_t us) { return Forward<int(useconds_t)>("usleep", us); }
