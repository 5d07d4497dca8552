// SPDX-License-Identifier: Apache-2.0
// What happens in a forked child. It has no agent thread: the tree's one agent thread reads what
// the child writes into the shared region. A raw clone child never gets here and stays disabled by
// the wiped gate.
#pragma once

namespace sonde::life {

// Once, at load: libc then calls us in every child of fork, daemon and the like.
void RegisterForkHandler();

// In a child: whether the process whose agent thread served it has ended.
bool AgentIsGone();

// In a child whose agent is gone: becomes the root of the tree, if no sibling was faster.
void TakeOver();

}  // namespace sonde::life
