// SPDX-License-Identifier: Apache-2.0
// A service with two faults, for scripts/demo: SessionStore::Remember keeps every session that it
// is shown (about 4 MiB/s, at most 400 MiB), and the thread "poller" asks again and again without
// ever waiting. A cache of 24 MiB and requests that free what they take are the honest part. Waits
// for clients on the port in argv[1], ends after two minutes.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace demo {

constexpr size_t kSessionBytes = 20 << 10;
constexpr size_t kMostSessions = 20'000;
std::atomic<uint64_t> g_polls = 0;

class SessionStore {
 public:
  // Never forgets one: the leak.
  __attribute__((noinline)) void Remember() {
    if (sessions_.size() < kMostSessions) sessions_.emplace_back(kSessionBytes, 's');
  }

 private:
  std::vector<std::string> sessions_;
};

__attribute__((noinline)) std::vector<std::string> FillCache() {
  std::vector<std::string> cache;
  for (int i = 0; i < 384; ++i) cache.emplace_back(64 << 10, 'c');
  return cache;
}

__attribute__((noinline)) size_t HandleRequest() {
  const std::string body(100 << 10, 'r');  // given back at once
  return body.size();
}

__attribute__((noinline)) bool QueueIsEmpty() {
  return g_polls.fetch_add(1, std::memory_order_relaxed) != ~uint64_t{0};
}

__attribute__((noinline)) void PollQueue() {
  while (QueueIsEmpty()) continue;
}

void ServeRequests() {
  pthread_setname_np(pthread_self(), "requests");
  SessionStore store;
  const std::vector<std::string> cache = FillCache();
  for (;;) {
    HandleRequest();
    store.Remember();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void WaitForClients(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 8) != 0) {
    std::perror("leaking_service: cannot listen");
    std::exit(1);
  }
  for (;;) close(accept(listener, nullptr, nullptr));
}

}  // namespace demo

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: leaking_service PORT\n");
    return 2;
  }
  alarm(120);
  std::thread(demo::ServeRequests).detach();
  std::thread([] {
    pthread_setname_np(pthread_self(), "poller");
    demo::PollQueue();
  }).detach();
  demo::WaitForClients(static_cast<uint16_t>(std::atoi(argv[1])));
}
