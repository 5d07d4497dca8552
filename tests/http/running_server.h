// SPDX-License-Identifier: Apache-2.0
// A server with a handler that tests can read, driven by a thread as the agent thread drives it.
//   /echo        the method, the query and the body
//   /big?N       N bytes
//   /slow?MS     an answer after MS milliseconds
//   /throw       std::bad_alloc
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "agent/http/server.h"

namespace sonde::testing {

class TestHandler final : public http::Handler {
 public:
  http::Answer Handle(const http::Request& request) override;
  void CountResponse(const std::string& path, int status) override;

  int CountOf(int status) const;
  std::atomic<int> waiting{0};   // long answers that exist
  std::atomic<int> finished{0};  // long answers that were delivered

 private:
  mutable std::mutex mutex_;
  std::map<int, int> by_status_;
};

class RunningServer {
 public:
  explicit RunningServer(http::Limits limits = {});
  ~RunningServer();
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  uint16_t port() const { return port_; }
  TestHandler& handler() { return handler_; }
  size_t connections() const { return connections_; }
  // Waits until `condition` holds; false after the time.
  template <typename Condition>
  static bool Eventually(Condition condition, int ms = 3000) {
    for (int waited = 0; !condition(); waited += 5) {
      if (waited >= ms) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

 private:
  void Run();
  TestHandler handler_;
  http::Server server_;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<size_t> connections_{0};
  std::thread thread_;
};

}  // namespace sonde::testing
