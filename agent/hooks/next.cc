// SPDX-License-Identifier: Apache-2.0
#include "agent/hooks/hook.h"
#include "agent/runtime/resolve.h"

namespace sonde::hooks {
namespace {

constexpr const char* kNames[kHookCount] = {
#define SONDE_HOOK(symbol, why, cost) #symbol,
#include "agent/hooks/hook_list.inc"
#undef SONDE_HOOK
};

}  // namespace

constinit std::atomic<void*> g_next[kHookCount]{};

void* FindNext(Hook hook) {
  void* found = runtime::NextSymbol(kNames[hook]);
  g_next[hook].store(found, std::memory_order_relaxed);
  return found;
}

void FindAllNext() {
  for (int i = 0; i < kHookCount; ++i) {
    const Hook hook = static_cast<Hook>(i);
    if (g_next[hook].load(std::memory_order_relaxed) == nullptr) FindNext(hook);
  }
}

}  // namespace sonde::hooks

extern "C" __attribute__((visibility("hidden"))) void SondeResolveHooks() {
  sonde::hooks::FindAllNext();
}
