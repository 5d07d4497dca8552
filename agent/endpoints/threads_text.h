// SPDX-License-Identifier: Apache-2.0
// A finished dump of all threads in the forms that are served. Agent thread only. Memory: that of
// the text.
#pragma once

#include <string>

#include "agent/endpoints/context.h"
#include "collectors/thread_dump.h"

namespace sonde {

// Grouped, in the layout of Go's goroutine?debug=1, which pprof reads.
std::string GroupedThreadsText(Context* context, const ThreadDump& dump);
// One by one, as goroutine?debug=2.
std::string ThreadsText(Context* context, const ThreadDump& dump);
// For the command line tool and the page.
std::string ThreadsJson(Context* context, const ThreadDump& dump);
// Gzipped profile.proto: threads by stack, labels thread, state, system_call.
std::string ThreadsProfile(Context* context, const ThreadDump& dump);

}  // namespace sonde
