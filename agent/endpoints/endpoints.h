// SPDX-License-Identifier: Apache-2.0
// The dispatcher: finds the row of the table, checks access, calls the handler, counts. Agent
// thread only.
#pragma once

#include <string>

#include "agent/endpoints/context.h"
#include "agent/http/handler.h"

namespace sonde {

class Endpoints final : public http::Handler {
 public:
  explicit Endpoints(Context* context) : context_(context) {}

  [[nodiscard]] http::Answer Handle(const http::Request& request) override;
  void CountResponse(const std::string& path, int status) override;

 private:
  Context* const context_;
};

}  // namespace sonde
