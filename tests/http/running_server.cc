// SPDX-License-Identifier: Apache-2.0
#include "tests/http/running_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "agent/http/socket.h"

namespace sonde::testing {
namespace {

class SlowAnswer final : public http::LongAnswer {
 public:
  SlowAnswer(TestHandler* handler, int64_t ms)
      : handler_(handler), ready_at_ms_(http::NowMs() + ms) {
    ++handler_->waiting;
  }
  ~SlowAnswer() override { --handler_->waiting; }
  int64_t ready_at_ms() const override { return ready_at_ms_; }
  http::Response Finish() override {
    ++handler_->finished;
    return http::Response::Text(200, "slow\n");
  }

 private:
  TestHandler* const handler_;
  const int64_t ready_at_ms_;
};

// Port 0: the kernel chooses.
int ListenAnywhere(uint16_t* port) {
  Address address = *ParseAddress("127.0.0.1:1");
  address.port = 0;
  const int fd = static_cast<int>(http::Listen(address));
  sockaddr_in bound = {};
  socklen_t size = sizeof(bound);
  if (fd < 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) std::abort();
  *port = ntohs(bound.sin_port);
  return fd;
}

}  // namespace

http::Answer TestHandler::Handle(const http::Request& request) {
  if (request.path == "/throw") throw std::bad_alloc();
  if (request.path == "/slow") {
    return {{}, std::make_unique<SlowAnswer>(this, std::atoi(request.query.c_str()))};
  }
  if (request.path == "/big") {
    return {http::Response::Text(
                200, std::string(std::strtoul(request.query.c_str(), nullptr, 10), 'b')),
            nullptr};
  }
  if (request.path != "/echo") return {http::Response::Text(404, "no\n"), nullptr};
  return {http::Response::Text(200, request.method + " " + request.query + " " + request.body),
          nullptr};
}

void TestHandler::CountResponse(const std::string&, int status) {
  const std::lock_guard lock(mutex_);
  ++by_status_[status];
}

int TestHandler::CountOf(int status) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_status_.find(status);
  return found == by_status_.end() ? 0 : found->second;
}

RunningServer::RunningServer(http::Limits limits) : server_(&handler_, limits) {
  server_.AddListener(ListenAnywhere(&port_), http::Door::kLocalTcp);
  thread_ = std::thread([this] { Run(); });
}

RunningServer::~RunningServer() {
  stop_ = true;
  thread_.join();
}

void RunningServer::Run() {
  while (!stop_) {
    server_.Wait(http::NowMs() + 20);
    connections_ = server_.connections();
  }
}

}  // namespace sonde::testing
