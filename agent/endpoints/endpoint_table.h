// SPDX-License-Identifier: Apache-2.0
// THE table of what is served. The dispatcher, the access rules, the index pages and the metric's
// path labels all come from it. Constants; thread-safe.
#pragma once

#include <span>
#include <string_view>

#include "agent/endpoints/context.h"
#include "agent/http/access.h"
#include "agent/http/handler.h"

namespace sonde {

struct Endpoint {
  std::string_view method;  // "GET" serves HEAD too
  std::string_view path;
  http::Need need;
  http::Answer (*handle)(Context&, const http::Request&);
  std::string_view parameters;
  std::string_view help;
};

std::span<const Endpoint> EndpointTable();

// A row's path may end in a {name}, which stands for one more segment of any text.
bool IsPathOf(const Endpoint& endpoint, std::string_view path);

// The handlers. Each may throw std::bad_alloc, which the connection turns into a 503.
http::Answer ServeFrontPage(Context&, const http::Request&);
http::Answer ServePprofIndex(Context&, const http::Request&);
http::Answer RedirectToPprofIndex(Context&, const http::Request&);
http::Answer ServeCpuProfile(Context&, const http::Request&);
http::Answer ServeThreads(Context&, const http::Request&);
http::Answer ServeFindings(Context&, const http::Request&);
http::Answer ServeThreadsJson(Context&, const http::Request&);
http::Answer ServeThreadCreate(Context&, const http::Request&);
http::Answer ServeWall(Context&, const http::Request&);
http::Answer ServeMutex(Context&, const http::Request&);
http::Answer ServeBlock(Context&, const http::Request&);
http::Answer ServeHeapProfile(Context&, const http::Request&);
http::Answer ServeAllocsProfile(Context&, const http::Request&);
http::Answer ServeCommandLine(Context&, const http::Request&);
http::Answer ServeSymbols(Context&, const http::Request&);
http::Answer ServeStatus(Context&, const http::Request&);
http::Answer ServeMemory(Context&, const http::Request&);
http::Answer ReleaseMemory(Context&, const http::Request&);
http::Answer ServeObject(Context&, const http::Request&);
http::Answer ServeConfig(Context&, const http::Request&);
http::Answer ChangeConfig(Context&, const http::Request&);
http::Answer SwitchOff(Context&, const http::Request&);
http::Answer SwitchOn(Context&, const http::Request&);
http::Answer ServeMetrics(Context&, const http::Request&);
http::Answer ServeHealth(Context&, const http::Request&);

// An error as `go tool pprof` shows it to its user.
http::Response PprofError(int status, std::string text);

}  // namespace sonde
