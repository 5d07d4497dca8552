// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 to one agent, over TCP, a unix socket or an abstract socket. Used by Connection; one
// thread. Memory: a response body is capped by Request::max_bytes.
//
// Why libcurl: Debian's cpp-httplib 0.11 is not header-only (its library wants OpenSSL and brotli)
// and knows no unix sockets; libcurl has unix and abstract sockets, deadlines and progress.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/outcome.h"

namespace sonde::cli {

struct Address {
  enum class Kind { kTcp, kUnixPath, kAbstract };
  Kind kind = Kind::kTcp;
  std::string where;  // "host:port", a path, or an abstract name without its leading '@'

  std::string Short() const;     // as a TARGET is written: "host:port", path, "@name"
  std::string Describe() const;  // the same, with the word socket where it is one
  bool operator==(const Address&) const = default;
};

// The connection failed below HTTP.
class TransportError : public CliError {
 public:
  enum class Kind { kRefused, kTimeout, kCut, kOther };
  TransportError(Kind kind, const std::string& what)
      : CliError(ExitCode::kError, what), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

struct Request {
  std::string method = "GET";
  std::string path;  // with its query
  std::string body;
  std::string bearer_token;
  std::chrono::milliseconds timeout{10'000};  // for the whole exchange
  size_t max_bytes = size_t{64} << 20;
  // Never sent a second time. (A kept connection that dies without an answer is tried again by
  // libcurl, as if it had been closed before the question: not where the question takes long.)
  bool only_once = false;
  std::function<void()> on_tick;  // called about once a second and whenever bytes arrive
};

struct Response {
  int status = 0;
  std::string content_type;
  std::string window;  // X-Sonde-Window: what a profile is worth
  std::string body;
  bool ok() const { return status >= 200 && status < 300; }
};

class HttpClient {
 public:
  explicit HttpClient(Address address);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Any HTTP status is a Response. Throws TransportError, or Interrupted.
  Response Send(const Request& request);
  const Address& address() const { return address_; }

 private:
  struct Handle;
  Address address_;
  std::unique_ptr<Handle> handle_;  // kept between requests: one connection serves all of them
};

}  // namespace sonde::cli
