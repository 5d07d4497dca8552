// SPDX-License-Identifier: Apache-2.0
// Switches what hooks count beside the heap (collectors/safe/hook_record.h). Several collectors
// want something of it; each sets its own bit.
#pragma once

#include "collectors/safe/hook_record.h"

namespace sonde::life {

// Agent thread. False: this kernel cannot hide the tables from a child, so nothing is counted.
bool SwitchHookUse(HookUse use, bool on);

// From any thread: nothing is counted any more.
void StopHooks();

// In a fork child that belongs to the tree: counts what its parent counted.
void HooksInChild();

}  // namespace sonde::life
