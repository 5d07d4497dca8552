// SPDX-License-Identifier: Apache-2.0
// What every hook is made of: an exported name and the next definition of that name.
// No hook holds a lock, a guard object or an errno across the real call: waits are cancellation
// points, and execve and vfork must find nothing half done.
#pragma once

#include <atomic>

#include "agent/life/state.h"

#define SONDE_EXPORT extern "C" __attribute__((visibility("default")))

namespace sonde::hooks {

enum Hook : int {
#define SONDE_HOOK(symbol, why, cost) kHook_##symbol,
#include "agent/hooks/hook_list.inc"
#undef SONDE_HOOK
  kHookCount
};

// The next definition of each hooked symbol after ours; null until it was looked up, or when libc
// has none.
extern std::atomic<void*> g_next[kHookCount];

// Malloc-safe: may not allocate or block. Every thread finds the same.
void* FindNext(Hook hook);

// Looks up what was not looked up yet: before a seccomp filter makes looking up impossible.
void FindAllNext();

// Malloc-safe: may not allocate or block.
template <typename Function>
class Real {
 public:
  constexpr explicit Real(Hook hook) : hook_(hook) {}

  Function* get() const {
    void* found = g_next[hook_].load(std::memory_order_relaxed);
    if (found == nullptr) [[unlikely]] {
      found = FindNext(hook_);
    }
    return reinterpret_cast<Function*>(found);
  }

 private:
  Hook hook_;
};

inline void Trigger() {
  if (life::g_trigger_wanted.load(std::memory_order_relaxed)) [[unlikely]] {
    life::OnTrigger();
  }
}

}  // namespace sonde::hooks

// Defines `real_<symbol>`, which calls on.
#define SONDE_REAL(symbol)                                               \
  static constexpr ::sonde::hooks::Real<decltype(symbol)> real_##symbol( \
      ::sonde::hooks::kHook_##symbol)
