// SPDX-License-Identifier: Apache-2.0
// A blocking client that sends whatever bytes a test wants, with time limits. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sonde::testing {

class Client {
 public:
  explicit Client(uint16_t port);  // 127.0.0.1
  explicit Client(const std::string& unix_path);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  // False when the connection is broken.
  bool Send(std::string_view bytes);
  void HalfClose();
  void Close();
  // What comes until the other side closes or nothing comes for `quiet_ms`.
  std::string ReadAll(int quiet_ms = 2000);
  // Reads until the whole of one response with Content-Length is there; empty when none came.
  std::string ReadResponse(int quiet_ms = 3000);
  // True when the other side has closed (also by reset) within the time.
  bool ClosedWithin(int ms);

 private:
  // Appends to buffer_; false at the end, after an error or when nothing comes.
  bool ReadMore(int quiet_ms);
  int fd_ = -1;
  std::string buffer_;
};

// "GET path HTTP/1.1" with a Host header, and `extra` header lines.
std::string Get(std::string_view path, std::string_view extra = "");

// 200 from "HTTP/1.1 200 OK…", or 0.
int StatusOf(std::string_view response);
std::string_view BodyOf(std::string_view response);

}  // namespace sonde::testing
