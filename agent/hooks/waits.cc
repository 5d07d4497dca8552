// SPDX-License-Identifier: Apache-2.0
// Calls in which a service waits. Each is a trigger of activation; those that swap the signal mask
// also keep our signal masked: it may be pending for a thread that burnt CPU with signals blocked,
// and would end the wait with EINTR (traps 13). The thread does not run while it waits, so nothing
// is lost.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "agent/hooks/hook.h"
#include "agent/hooks/host_memory.h"
#include "agent/hooks/versions.h"
#include "agent/life/host_signal.h"

extern "C" {
int __poll_chk(struct pollfd*, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd*, nfds_t, const struct timespec*, const sigset_t*, size_t);
int __sigsuspend(const sigset_t*);
}

namespace {

SONDE_REAL(listen);
SONDE_REAL(accept);
SONDE_REAL(accept4);
SONDE_REAL(epoll_wait);
SONDE_REAL(epoll_pwait);
SONDE_REAL(epoll_pwait2);
SONDE_REAL(poll);
SONDE_REAL(__poll_chk);
SONDE_REAL(ppoll);
SONDE_REAL(__ppoll_chk);
SONDE_REAL(select);
SONDE_REAL(pselect);
SONDE_REAL(sigsuspend);
SONDE_REAL(__sigsuspend);

// The mask to wait with: the host's, plus our signal.
class WaitMask {
 public:
  explicit WaitMask(const sigset_t* host) : mask_(host) {
    const int ours = sonde::life::g_our_signal.load(std::memory_order_relaxed);
    if (host == nullptr || ours == 0) return;
    if (!sonde::hooks::ReadOfHost(host, &copy_, kKernelsMask)) return;
    if (sigismember(&copy_, ours) == 1) return;
    sigaddset(&copy_, ours);
    mask_ = &copy_;
  }
  [[nodiscard]] const sigset_t* get() const { return mask_; }

 private:
  static constexpr size_t kKernelsMask = 8;  // bytes of a sigset_t that it reads
  const sigset_t* mask_;
  sigset_t copy_{};
};

using sonde::hooks::Trigger;

}  // namespace

SONDE_EXPORT int listen(int fd, int backlog) noexcept {
  Trigger();
  return real_listen.get()(fd, backlog);
}

SONDE_EXPORT int accept(int fd, struct sockaddr* __restrict address, socklen_t* __restrict size) {
  Trigger();
  return real_accept.get()(fd, address, size);
}

SONDE_EXPORT int accept4(int fd, struct sockaddr* __restrict address, socklen_t* __restrict size,
                         int flags) {
  Trigger();
  return real_accept4.get()(fd, address, size, flags);
}

SONDE_EXPORT int epoll_wait(int fd, struct epoll_event* events, int most, int timeout_ms) {
  Trigger();
  return real_epoll_wait.get()(fd, events, most, timeout_ms);
}

SONDE_EXPORT int epoll_pwait(int fd, struct epoll_event* events, int most, int timeout_ms,
                             const sigset_t* mask) {
  Trigger();
  const WaitMask wait(mask);
  return real_epoll_pwait.get()(fd, events, most, timeout_ms, wait.get());
}

SONDE_EXPORT int epoll_pwait2(int fd, struct epoll_event* events, int most,
                              const struct timespec* timeout, const sigset_t* mask) {
  Trigger();
  auto* real = real_epoll_pwait2.get();
  if (real == nullptr) {  // a libc older than the call
    errno = ENOSYS;
    return -1;
  }
  const WaitMask wait(mask);
  return real(fd, events, most, timeout, wait.get());
}

SONDE_EXPORT int poll(struct pollfd* fds, nfds_t count, int timeout_ms) {
  Trigger();
  return real_poll.get()(fds, count, timeout_ms);
}

SONDE_EXPORT int __poll_chk(struct pollfd* fds, nfds_t count, int timeout_ms, size_t bytes) {
  Trigger();
  return real___poll_chk.get()(fds, count, timeout_ms, bytes);
}

SONDE_EXPORT int ppoll(struct pollfd* fds, nfds_t count, const struct timespec* timeout,
                       const sigset_t* mask) {
  Trigger();
  const WaitMask wait(mask);
  return real_ppoll.get()(fds, count, timeout, wait.get());
}

SONDE_EXPORT int __ppoll_chk(struct pollfd* fds, nfds_t count, const struct timespec* timeout,
                             const sigset_t* mask, size_t bytes) {
  Trigger();
  const WaitMask wait(mask);
  return real___ppoll_chk.get()(fds, count, timeout, wait.get(), bytes);
}

SONDE_EXPORT int select(int most, fd_set* __restrict reads, fd_set* __restrict writes,
                        fd_set* __restrict errors, struct timeval* __restrict timeout) {
  Trigger();
  return real_select.get()(most, reads, writes, errors, timeout);
}

SONDE_EXPORT int pselect(int most, fd_set* __restrict reads, fd_set* __restrict writes,
                         fd_set* __restrict errors, const struct timespec* __restrict timeout,
                         const sigset_t* __restrict mask) {
  Trigger();
  const WaitMask wait(mask);
  return real_pselect.get()(most, reads, writes, errors, timeout, wait.get());
}

SONDE_EXPORT int sigsuspend(const sigset_t* mask) {
  const WaitMask wait(mask);
  return real_sigsuspend.get()(wait.get());
}

SONDE_EXPORT int __sigsuspend(const sigset_t* mask) {
  const WaitMask wait(mask);
  return real___sigsuspend.get()(wait.get());
}

SONDE_EXPORT_AS_ONE(epoll_pwait2, "GLIBC_2.35");
