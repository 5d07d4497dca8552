// SPDX-License-Identifier: Apache-2.0
// Gives a profile what the agent leaves out for its size: source lines, inlined functions, and
// names of what the agent could not name. Used by every verb that shows a profile; one thread.
// Bounded by WorkerLimits; the profile grows by a few functions and lines a location.
#pragma once

#include <string>
#include <vector>

#include "cli/line_worker.h"
#include "cli/object_store.h"
#include "profile/pprof.h"

namespace CLI {
class App;
}

namespace sonde::cli {

struct LineOptions {
  std::string mode = "auto";  // "off"; "auto": objects of this machine; "on": fetched ones, too
  std::vector<std::string> debug_dirs;
};

// --lines --debug-dir; *options must outlive the parse.
void AddLineOptions(CLI::App* verb, LineOptions* options);

struct LineOutcome {
  bool changed = false;               // the profile is not what it was
  size_t wanted = 0;                  // locations without a line
  size_t found = 0;                   // of them, those that have one now
  std::vector<std::string> problems;  // where lines are missing, and why; bounded
};

// Where the objects of a profile may be found, beside this machine's own paths and the cache.
struct ObjectPlaces {
  std::string root;  // "/proc/4242/root" of a process of this machine; may be empty
  FetchPiece fetch;  // from the agent; nullptr: there is none
};

// The agent is asked only in mode "on".
LineOutcome AddLines(const LineOptions& options, const ObjectPlaces& places,
                     pprof::Profile* profile, const WorkerLimits& limits = {});

// "212 of 230 addresses have a line; /usr/lib/libx.so: no debug information", or empty when there
// is nothing to say.
std::string DescribeLines(const LineOutcome& outcome);

}  // namespace sonde::cli
