// SPDX-License-Identifier: Apache-2.0
// Decides at load whether this process may ever become active (traps 3).
//
// SONDE_TARGET names the service: `main` (the container's main process, seen through the shells and
// inits that start it), `pid:N`, a program's name or absolute path, or several of these separated
// by commas. Once it is set, no other process of the tree does anything. When it is empty, any
// program but a shell may become active at a trigger.
//
// Runs in every preloaded program's start-up: no allocation, a handful of system calls at most.
#pragma once

#include <cstdint>

namespace sonde::life {

enum class Start : uint8_t {
  kNever,             // not the target, or a shell
  kAtLoad,            // explicitly named
  kAtTrigger,         // named through a shell: at the first trigger, also in a single-threaded host
  kAtTriggerThreads,  // not named: at a trigger a second after load, and only if the host has
                      // threads already
};

// `target` is the value of SONDE_TARGET, empty when not set. Constructor only.
[[nodiscard]] Start DecideStart(const char* target);

// The last part of a path. Malloc-safe.
const char* BaseName(const char* path);

// True for programs that start services and never are one. Malloc-safe.
bool IsShell(const char* name);

}  // namespace sonde::life
