// SPDX-License-Identifier: Apache-2.0
#include "agent/life/hook_switch.h"

#include "agent/life/self.h"
#include "agent/life/tree.h"

namespace sonde::life {

bool SwitchHookUse(HookUse use, bool on) {
  const uint32_t before = g_hooks.uses.load(std::memory_order_acquire);
  const auto bit = static_cast<uint32_t>(use);
  const uint32_t wanted = on ? before | bit : before & ~bit;
  if (wanted == before) return true;
  if (!SwitchHooksOn(TreeRegion(), ClaimTreeThread(g_self.pid), wanted)) return false;
  TreeHookUses().store(wanted, std::memory_order_relaxed);
  return true;
}

void StopHooks() { SwitchHooksOff(); }

void HooksInChild() {
  const uint32_t uses = TreeHookUses().load(std::memory_order_relaxed);
  if (uses != 0) HooksAfterFork(ClaimTreeThread(g_self.pid), uses);
}

}  // namespace sonde::life
