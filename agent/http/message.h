// SPDX-License-Identifier: Apache-2.0
// A request as the parser leaves it and a response as a handler makes it; plain values. Agent
// thread only. A request holds at most Limits::max_head_bytes + max_body_bytes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/http/peer.h"

namespace sonde::http {

struct Request {
  std::string method;
  std::string path;   // as sent, not decoded: "/debug/pprof/profile"
  std::string query;  // without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  int minor_version = 1;  // of HTTP/1
  bool keep_alive = true;
  Peer peer;

  // The value of a header (name in lower case), or null. Repeated ones: the first.
  const std::string* Header(std::string_view name) const;
  size_t CountHeaders(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool close = false;  // the connection is not used again

  static Response Text(int status, std::string body);
};

// The whole response as bytes. HEAD gets the headers of the body that it does not get.
std::string Serialize(Response response, bool keep_alive, bool head_only, int64_t unix_seconds);

// "Not Found" for 404.
std::string_view StatusText(int status);

// RFC 9110's form, without libc's time zone locks: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string HttpDate(int64_t unix_seconds);

}  // namespace sonde::http
