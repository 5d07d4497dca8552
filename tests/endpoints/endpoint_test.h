// SPDX-License-Identifier: Apache-2.0
// What the tests of profiles have in common: endpoints over an agent with known numbers, asked
// without a server.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "agent/endpoints/endpoint_table.h"
#include "profile/decode.h"
#include "tests/endpoints/fake_sources.h"

namespace sonde::testing {

class EndpointTest : public ::testing::Test {
 protected:
  using Serve = http::Answer (*)(Context&, const http::Request&);

  http::Answer Get(Serve serve, const char* query = "") {
    http::Request request;
    request.method = "GET";
    request.query = query;
    return serve(context_, request);
  }
  static pprof::Profile Decoded(const http::Response& response) {
    auto decoded = pprof::Decode(response.body);
    EXPECT_TRUE(decoded.ok()) << decoded.error();
    return decoded.ok() ? std::move(decoded.value()) : pprof::Profile{};
  }
  static int64_t Sum(const pprof::Profile& profile, const std::string& type) {
    const uint32_t index = profile.SampleTypeIndex(type);
    int64_t sum = 0;
    for (const pprof::Sample& sample : profile.samples) sum += sample.values.at(index);
    return sum;
  }

  Environment environment_;
  ConfigStore config_{environment_};
  FakeSources sources_;
  Context context_{&sources_, &config_};
};

}  // namespace sonde::testing
