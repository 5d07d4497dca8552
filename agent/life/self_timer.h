// SPDX-License-Identifier: Apache-2.0
// Threads that arm their own CPU timer, because no sweep would find them in time: the first thread
// of a forked child, the threads that such a child makes, and new threads of a host whose threads
// live for milliseconds. Any thread.
#pragma once

namespace sonde::life {

// True in forked children, and in a root whose sweep sees CPU time of threads that it never met.
bool NewThreadsArmThemselves();

// The sweep's verdict on the root process. Agent thread only.
void SetNewThreadsArmThemselves(bool on);

// Takes a thread slot and a timer for the calling thread. Losses are counted. Keeps errno.
void ArmSelf();

}  // namespace sonde::life
