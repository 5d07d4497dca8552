// SPDX-License-Identifier: Apache-2.0
// The functions of libc that wait for other threads, on the stacks of those that do. Agent thread
// only. Memory: a table of about 40 addresses, made once.
#pragma once

#include <string_view>
#include <vector>

#include "agent/life/process_threads.h"
#include "collectors/thread_reader.h"

namespace sonde::life {

// Of the first frames of a thread of this process or of a forked child, leaf first; empty: none of
// those functions.
std::vector<std::string_view> WaitingFunctionsOf(ProcessThreads* process,
                                                 const ThreadRecord& record);

}  // namespace sonde::life
