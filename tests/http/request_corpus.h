// SPDX-License-Identifier: Apache-2.0
// What the fuzzer and the mutation test have in common: run bytes through the parser as a
// connection does, and check what must hold whatever the bytes are.
#pragma once

#include <cstdlib>
#include <string_view>

#include "agent/http/request_parser.h"

namespace sonde::testing {

// Aborts when an invariant is broken. Returns how many requests were complete.
inline int ParseEverything(std::string_view bytes, size_t step) {
  const http::ParserLimits limits;
  http::RequestParser parser(limits);
  int complete = 0;
  while (!bytes.empty()) {
    size_t used = 0;
    const auto state = parser.Feed(bytes.substr(0, step), &used);
    if (used > bytes.size()) std::abort();
    bytes.remove_prefix(used);
    const http::Request& request = parser.request();
    if (request.body.size() > limits.max_body_bytes) std::abort();
    if (request.headers.size() > limits.max_headers) std::abort();
    if (state == http::RequestParser::State::kRefused) {
      if (parser.refusal().status < 400 || !parser.refusal().close) std::abort();
      break;
    }
    if (state == http::RequestParser::State::kDone) {
      if (request.method.empty() || request.path.empty()) std::abort();
      ++complete;
      parser.Reset();
    } else if (used == 0) {
      std::abort();  // a connection would turn for ever
    }
  }
  return complete;
}

}  // namespace sonde::testing
