// SPDX-License-Identifier: Apache-2.0
// What the server asks of whoever answers. Agent thread only.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/http/message.h"

namespace sonde::http {

// An answer that takes time: it is parked with its connection and destroyed early when the client
// goes away.
class LongAnswer {
 public:
  virtual ~LongAnswer() = default;
  // On the clock of NowMs(); may move while waiting.
  virtual int64_t ready_at_ms() const = 0;
  [[nodiscard]] virtual Response Finish() = 0;
};

struct Answer {
  Response response;
  std::unique_ptr<LongAnswer> later;  // when set, `response` means nothing
};

class Handler {
 public:
  virtual ~Handler() = default;
  [[nodiscard]] virtual Answer Handle(const Request& request) = 0;
  // Once for every response that is sent. `path` is empty when no request could be read.
  virtual void CountResponse(const std::string& path, int status) = 0;
};

}  // namespace sonde::http
