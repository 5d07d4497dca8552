// SPDX-License-Identifier: Apache-2.0
// What every hook is made of: an exported name and the next definition of that name.
// No hook holds a lock, a guard object or an errno across the real call: waits are cancellation
// points, and execve and vfork must find nothing half done.
#pragma once

#include <atomic>

#include "agent/life/state.h"
#include "agent/runtime/resolve.h"

#define SONDE_EXPORT extern "C" __attribute__((visibility("default")))

namespace sonde::hooks {

// The next definition of a symbol after ours, looked up at the first call. Null when libc has none.
// Malloc-safe: may not allocate or block.
template <typename Function>
class Real {
 public:
  constexpr explicit Real(const char* name) : name_(name) {}

  Function* get() {
    void* found = found_.load(std::memory_order_relaxed);
    if (found == nullptr) [[unlikely]] {
      found = runtime::NextSymbol(name_);
      found_.store(found, std::memory_order_relaxed);  // every thread finds the same
    }
    return reinterpret_cast<Function*>(found);
  }

 private:
  const char* name_;
  std::atomic<void*> found_{nullptr};
};

inline void Trigger() {
  if (life::g_trigger_wanted.load(std::memory_order_relaxed)) [[unlikely]] {
    life::OnTrigger();
  }
}

}  // namespace sonde::hooks

// Defines `real_<symbol>`, which calls on.
#define SONDE_REAL(symbol) \
  static constinit ::sonde::hooks::Real<decltype(symbol)> real_##symbol(#symbol)
