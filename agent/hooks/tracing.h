// SPDX-License-Identifier: Apache-2.0
// A host thread is about to ask for a tracer. Called by the hooks of ptrace and syscall, in any
// thread. Async-signal-safe. No memory.
#pragma once

namespace sonde::hooks {

// The calling thread gives its timer back and gets no other, also if the call fails.
void BeforeBeingTraced();

}  // namespace sonde::hooks
