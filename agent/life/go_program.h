// SPDX-License-Identifier: Apache-2.0
// Whether the main program was built by Go. Its calls are its own system calls, which pass by every
// hook: it could not make the agent give up a port, so it gets the first choice. Any thread; reads
// what the loader has mapped.
#pragma once

namespace sonde::life {

bool ProgramIsGo();

}  // namespace sonde::life
