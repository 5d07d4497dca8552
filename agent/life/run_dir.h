// SPDX-License-Identifier: Apache-2.0
// The directory in which agents of one machine or container keep their sockets, and the agent's CLI
// finds them. Agent thread only.
#pragma once

#include <string>

namespace sonde::life {

// `wanted` when not empty, else the first of /run/sonde, $XDG_RUNTIME_DIR/sonde and /tmp/sonde-UID
// that exists or can be made, belongs to us and is not writable by others. Empty when there is
// none.
std::string RunDirectory(const char* wanted);

// True where a container's marks are found: of its runtime, its orchestrator, or being pid 1. Any
// thread.
bool InsideContainer();

// What this file needs of the environment as it was at load: the host may change it. Constructor
// only.
void RememberEnvironment(const char* const* environment);

}  // namespace sonde::life
