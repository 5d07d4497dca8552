// SPDX-License-Identifier: Apache-2.0
// The agent's own descriptor table (traps 2): the host sees none of our descriptors, and none of
// its calls touches them. Three ways, the next where a seccomp profile refuses the one before:
// close_range(CLOSE_RANGE_UNSHARE); unshare(CLONE_FILES); a kernel task beside the agent's pthread
// that was cloned without CLONE_FILES.
//
// In the host's own table they may not be, not even with high numbers and checked before every use:
// `close(0); open(…)` of a host relies on getting 0, and every socket or open of ours takes the
// lowest number for a moment, whatever it is moved to afterwards.
//
// Agent's pthread only.
#pragma once

namespace sonde::life {

enum class DescriptorWay { kRefused, kOwnTable, kOwnTask };

// Calls `run` with a table that holds /dev/null as 0, 1 and 2 and nothing else; returns when `run`
// is over. `run` may be called anew, after the host has changed its user: a task that libc does not
// know of takes no part in that. kRefused: never called.
DescriptorWay RunWithOwnDescriptors(void (*run)());

// True while `run` must return, to be called anew. Any thread.
bool MustRenewTask();

// In a fork child: the parent's task does not exist here.
void OwnDescriptorsAfterFork();

}  // namespace sonde::life
