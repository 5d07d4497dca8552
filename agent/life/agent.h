// SPDX-License-Identifier: Apache-2.0
// The composition root: what the agent thread runs. Only wires; each part says itself what it does.
#pragma once

namespace sonde::life {

// The agent thread's life, from its own descriptors to its end. Returns when AgentMustStop().
void RunAgent();

// The thread cannot work here, or not any more: everything is switched off.
void AgentCouldNotStart();

// In a fork child: what the parent's agent had made is not to be touched here.
void AgentAfterFork();

}  // namespace sonde::life
