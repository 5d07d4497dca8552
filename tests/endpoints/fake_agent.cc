// SPDX-License-Identifier: Apache-2.0
// Serves everything that the agent serves, with known numbers and without a preload: for developing
// and testing whatever reads it.
//
//   fake_agent --seconds 60 SONDE_LISTEN=127.0.0.1:17663 [SONDE_…=…] [--unix unix:/path] [--host]
//
// Settings are given as in the environment, and are also taken from it. Ends after --seconds
// (default 600).
// --host: as outside a container, where loopback alone is not trusted. Prints one line when it
// listens.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config_store.h"
#include "agent/config/environment.h"
#include "agent/http/socket.h"
#include "tests/endpoints/fake_front.h"
#include "tests/endpoints/fake_sources.h"

namespace {

struct Arguments {
  int64_t seconds = 600;
  sonde::testing::FrontOptions front;
  std::vector<const char*> environment;
};

bool Parse(int argc, char** argv, Arguments* out) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_next = i + 1 < argc;
    if (argument == "--host") {
      out->front.inside_container = false;
    } else if (argument == "--seconds" && has_next) {
      out->seconds = std::atoll(argv[++i]);
    } else if (argument == "--unix" && has_next) {
      out->front.unix_address = argv[++i];
    } else if (argument.starts_with("SONDE_")) {
      out->environment.push_back(argv[i]);
    } else {
      return false;
    }
  }
  for (char** entry = environ; *entry != nullptr; ++entry) out->environment.push_back(*entry);
  out->environment.push_back(nullptr);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, &arguments)) {
    std::fprintf(
        stderr,
        "usage: fake_agent [--seconds N] [--unix unix:/path] [--host] [SONDE_NAME=VALUE]...\n");
    return 2;
  }
  sonde::Environment environment;
  sonde::ParseEnvironment(arguments.environment.data(), &environment);
  sonde::ConfigStore config(environment);
  std::fprintf(stderr, "%s", config.problems().c_str());
  sonde::testing::FakeSources sources;
  sonde::testing::FakeFront front(&sources, &config, arguments.front);
  if (!front.errors().empty()) {
    std::fprintf(stderr, "%s", front.errors().c_str());
    return 1;
  }
  std::printf("listening on %s\n", config.current().listen.data);
  std::fflush(stdout);
  const int64_t end_ms = sonde::http::NowMs() + arguments.seconds * 1000;
  while (sonde::http::NowMs() < end_ms) front.Wait(end_ms);
  return 0;
}
