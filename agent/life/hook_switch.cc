// SPDX-License-Identifier: Apache-2.0
#include "agent/life/hook_switch.h"

#include "agent/life/self.h"
#include "agent/life/tree.h"

namespace sonde::life {

bool SwitchHookUse(HookUse use, bool on) {
  std::atomic<uint32_t>& tree = TreeHookUses();
  const uint32_t before = tree.load(std::memory_order_relaxed);
  const auto bit = static_cast<uint32_t>(use);
  const uint32_t wanted = on ? before | bit : before & ~bit;
  tree.store(wanted, std::memory_order_relaxed);
  if (wanted == g_hooks.uses.load(std::memory_order_acquire)) return true;
  return SwitchHooksOn(TreeRegion(), ClaimTreeThread(g_self.pid), &tree);
}

void StopHooks() { SwitchHooksOff(); }

void HooksInChild() {
  if (TreeHookUses().load(std::memory_order_relaxed) == 0) return;
  HooksAfterFork(ClaimTreeThread(g_self.pid));
}

}  // namespace sonde::life
