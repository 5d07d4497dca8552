// SPDX-License-Identifier: Apache-2.0
// Bytes to one Request, over Debian's http-parser, with the limits that it does not have. Knows no
// socket, so that it can be fuzzed. One per connection; agent thread only. Memory: the request,
// within Limits.
#pragma once

#include <http_parser.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/http/message.h"

namespace sonde::http {

struct ParserLimits {
  size_t max_head_bytes = 16 << 10;  // request line and headers
  size_t max_body_bytes = 64 << 10;
  size_t max_headers = 100;
};

class RequestParser {
 public:
  explicit RequestParser(const ParserLimits& limits);
  RequestParser(const RequestParser&) = delete;  // http_parser points back here
  RequestParser& operator=(const RequestParser&) = delete;

  enum class State {
    kMore,     // needs more bytes
    kDone,     // request() is complete; bytes beyond it were not taken
    kRefused,  // refusal() says why; the connection cannot go on
  };

  // Takes bytes; *used tells how many.
  State Feed(std::string_view bytes, size_t* used);

  // True once after the head of a request that waits for "100 Continue".
  bool TakeContinueWish();
  // Nothing of a request has come yet.
  bool untouched() const { return total_bytes_ == 0; }
  Request& request() { return request_; }
  const Response& refusal() const { return refusal_; }
  // Ready for the next request on the same connection.
  void Reset();

 private:
  static const http_parser_settings* Callbacks();
  int OnHeaderField(std::string_view part);
  int OnHeaderValue(std::string_view part);
  int OnHeadersComplete();
  int OnBody(std::string_view part);
  int SplitUrl();
  int CheckExpect();
  void CheckProgress();
  int Refuse(int status, std::string text);

  const ParserLimits limits_;
  http_parser parser_;
  Request request_;
  Response refusal_;
  std::string url_;
  size_t total_bytes_ = 0;
  bool head_complete_ = false;
  bool complete_ = false;
  bool value_began_ = false;
  bool wants_continue_ = false;
};

}  // namespace sonde::http
