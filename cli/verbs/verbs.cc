// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs/verbs.h"

#include <array>

#include "cli/verbs/stacks.h"

namespace sonde::cli {
namespace {

constexpr std::array kVerbs = {
    Verb{"run", "Start a command with the agent preloaded", DeclareRun},
    Verb{"cpu", "Where CPU time goes: capture a profile, or read a saved one", DeclareCpu},
    Verb{"hot", "Which thread burns a core, in which function, since when", DeclareHot},
    Verb{"top", "Threads by CPU now, with their hottest function", DeclareTop},
    Verb{"threads", "Where every thread stands now", DeclareThreads},
    Verb{"wall", "Where the time of every thread goes, running and waiting", DeclareWall},
    Verb{"mutex", "Who holds locks that others wait for", DeclareMutex},
    Verb{"block", "Who waits for locks, conditions, semaphores and joins", DeclareBlock},
    Verb{"threadcreate", "Who made the threads that live now", DeclareThreadCreate},
    Verb{"heap", "What is live on the heap, or was allocated, and by whom", DeclareHeap},
    Verb{"memory", "Where the memory is: parts that add up to the RSS and the cgroup",
         DeclareMemory},
    Verb{"diff", "What changed between two profiles, or since a saved one", DeclareDiff},
    Verb{"findings", "Everything that was found, for scripts", DeclareFindings},
    Verb{"status", "What the agent does, costs and cannot see", DeclareStatus},
    Verb{"set", "Change settings of a running agent", DeclareSet},
    Verb{"off", "Kill switch: the agent falls silent within a second", DeclareOff},
    Verb{"on", "Undo off", DeclareOn},
    Verb{"list", "Agents that can be reached on this machine", DeclareList},
    Verb{"completion", "Print a completion script for a shell", DeclareCompletion},
    Verb{"version", "Print the version", DeclareVersion},
};

}  // namespace

std::span<const Verb> Verbs() { return kVerbs; }

}  // namespace sonde::cli
