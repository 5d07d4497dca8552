// SPDX-License-Identifier: Apache-2.0
// What this process knows of itself: written by the constructor, at activation and in a fork child,
// each time by the only thread that may; read by all after g_phase says so (acquire).
// Constant-initialised, never destroyed.
#pragma once

#include <cstdint>

#include "agent/config/environment.h"
#include "agent/life/state.h"
#include "agent/life/target.h"

namespace sonde::life {

enum class Role : uint8_t {
  kNone,
  kRoot,   // its agent thread serves the tree
  kChild,  // forked from the root: collects into the shared region, has no thread of ours
};

struct Self {
  Environment environment;
  Start start = Start::kNever;
  Role role = Role::kNone;
  bool took_over = false;  // a child that became the root
  int pid = 0;             // of this process image, or of the fork child
  uint64_t load_ns = 0;
  uint64_t main_frames_end = 0;  // of the main thread: what lies above are arguments, environment
  uint64_t last_check_ns = 0;    // of a child: when it last looked for its agent
};
extern Self g_self;

uint64_t CoarseNs();  // CLOCK_MONOTONIC_COARSE: for ages, not for measuring

// Maps the wiped-on-fork gate page; false when memory cannot be had.
bool MapGate();

// Opens or shuts the gate for this process.
void SetCollecting(bool on);

}  // namespace sonde::life
