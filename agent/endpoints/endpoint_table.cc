// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/endpoint_table.h"

namespace sonde {
namespace {

using http::Need;

constexpr Endpoint kTable[] = {
    {"GET", "/", Need::kRead, ServeFrontPage, "", "this list"},
    {"GET", "/debug/pprof", Need::kRead, RedirectToPprofIndex, "", "to the index of profiles"},
    {"GET", "/debug/pprof/", Need::kRead, ServePprofIndex, "", "index of profiles"},
    {"GET", "/debug/pprof/profile", Need::kRead, ServeCpuProfile, "seconds, hz; last=5m; from, to",
     "CPU profile, gzipped profile.proto; waits for `seconds` (30), or answers from the recording"},
    {"GET", "/debug/pprof/threads", Need::kRead, ServeThreads, "debug=0|1|2",
     "where every thread stands; debug=1: grouped text, debug=2: one by one"},
    {"GET", "/debug/pprof/goroutine", Need::kRead, ServeThreads, "debug=0|1|2",
     "the same, under the name that Go's tools ask for"},
    {"GET", "/debug/pprof/threadcreate", Need::kRead, ServeThreadCreate, "seconds, debug=0|1",
     "who made the threads that live now; with `seconds` what changed meanwhile"},
    {"GET", "/debug/pprof/wall", Need::kRead, ServeWall, "seconds, hz, debug=0|1",
     "where the time of every thread goes, on a CPU and off it, in `seconds` (10) at `hz` (10) "
     "looks a second"},
    {"GET", "/debug/pprof/mutex", Need::kRead, ServeMutex, "seconds, debug=0|1",
     "who held locks that others waited for; with `seconds` what came meanwhile; empty unless "
     "SONDE_LOCKS=on"},
    {"GET", "/debug/pprof/block", Need::kRead, ServeBlock, "seconds, debug=0|1",
     "who waited for locks, conditions, semaphores and joins; the same"},
    {"GET", "/debug/pprof/heap", Need::kRead, ServeHeapProfile,
     "seconds, age, last, peak, debug=0|1, gc",
     "live heap by call site, gzipped profile.proto; with `seconds` what changed meanwhile; with "
     "`age` (10m) only blocks that are older; with `last` (5m) only what was allocated since; with "
     "`peak=1` what was in use when that was most; `gc` is accepted and ignored"},
    {"GET", "/debug/pprof/allocs", Need::kRead, ServeAllocsProfile,
     "seconds, age, last, debug=0|1, gc", "the same, with all allocations in front"},
    {"GET", "/debug/pprof/cmdline", Need::kRead, ServeCommandLine, "",
     "command line of the process, NUL-separated"},
    {"GET", "/debug/pprof/symbol", Need::kRead, ServeSymbols, "0xADDRESS+0xADDRESS",
     "function names of addresses"},
    {"POST", "/debug/pprof/symbol", Need::kRead, ServeSymbols, "body 0xADDRESS+0xADDRESS",
     "function names of addresses"},
    {"GET", "/debug/sonde/status", Need::kRead, ServeStatus, "format=text",
     "what the agent does, loses and costs, as JSON"},
    {"GET", "/debug/sonde/findings", Need::kRead, ServeFindings, "format=text",
     "what was found, worst first: hot and stuck threads, deadlocks, throttling"},
    {"GET", "/debug/sonde/threads", Need::kRead, ServeThreadsJson, "",
     "where every thread stands, grouped by stack, as JSON"},
    {"GET", "/debug/sonde/memory", Need::kRead, ServeMemory, "format=text",
     "where the memory is, in parts that add up to the RSS and the cgroup, as JSON"},
    {"GET", "/debug/sonde/objects/{build-id}", Need::kRead, ServeObject, "offset=0, size=1048576",
     "a piece of a program or library that the service has mapped, for its symbols and lines"},
    {"GET", "/debug/sonde/config", Need::kRead, ServeConfig, "",
     "all settings: value, where it came from, what is accepted"},
    {"POST", "/debug/sonde/config", Need::kChange, ChangeConfig, "name=value, for=10m",
     "changes settings while the service runs"},
    {"POST", "/debug/sonde/release", Need::kChange, ReleaseMemory, "force=0|1",
     "the service's allocator gives free memory back to the system, by its own call; refused where "
     "that would stall the service, unless forced"},
    {"POST", "/debug/sonde/off", Need::kChange, SwitchOff, "for=10m",
     "kill switch: everything silent within a second"},
    {"POST", "/debug/sonde/on", Need::kChange, SwitchOn, "", "ends the kill switch"},
    {"GET", "/metrics", Need::kHealth, ServeMetrics, "", "Prometheus metrics"},
    {"GET", "/healthz", Need::kHealth, ServeHealth, "", "200 while the agent thread answers"},
};

}  // namespace

bool IsPathOf(const Endpoint& endpoint, std::string_view path) {
  const size_t brace = endpoint.path.find('{');
  if (brace == std::string_view::npos) return endpoint.path == path;
  return path.size() > brace && path.starts_with(endpoint.path.substr(0, brace)) &&
         path.find('/', brace) == std::string_view::npos;
}

std::span<const Endpoint> EndpointTable() { return kTable; }

}  // namespace sonde
