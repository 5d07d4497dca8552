// SPDX-License-Identifier: Apache-2.0
// CPU ns of calls that the agent hooks, each in its cheapest form: poll and epoll_wait that do not
// wait, sigaction that only asks, a system call by syscall().
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/programs/clocks.h"

namespace {

constexpr int kBlocks = 15;
constexpr int kCalls = 10'000;

template <typename Call>
void Measure(const char* key, Call call) {
  for (int block = 0; block < kBlocks; ++block) {
    const uint64_t start_ns = bench::ThreadCpuNs();
    for (int i = 0; i < kCalls; ++i) call();
    printf("%s %.2f\n", key, static_cast<double>(bench::ThreadCpuNs() - start_ns) / kCalls);
  }
}

}  // namespace

int main() {
  bench::Settle(1200);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) {
    perror("epoll_create1");
    return 1;
  }
  Measure("poll", [] { poll(nullptr, 0, 0); });
  Measure("epoll_wait", [epoll] {
    epoll_event event;
    epoll_wait(epoll, &event, 1, 0);
  });
  Measure("sigaction", [] {
    struct sigaction now;
    sigaction(SIGUSR1, nullptr, &now);
  });
  Measure("syscall(SYS_getpid)", [] { syscall(SYS_getpid); });
  printf("threads %d\n", bench::CountThreads());
  return 0;
}
