// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/late_init.h"

#include <atomic>

// The linker names the bounds of the section into which cmake/preload.cmake moves the archive's
// .init_array. NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
using Constructor = void (*)(int, char**, char**);
extern const Constructor __start_sonde_late_init[] __attribute__((weak, visibility("hidden")));
extern const Constructor __stop_sonde_late_init[] __attribute__((weak, visibility("hidden")));
}
// NOLINTEND(bugprone-reserved-identifier)

namespace sonde::runtime {

void RunLateInit() {
  static constinit std::atomic<bool> done{false};
  if (done.exchange(true, std::memory_order_relaxed)) return;
  for (const Constructor* at = __start_sonde_late_init; at != __stop_sonde_late_init; ++at) {
    if (*at != nullptr) (*at)(0, nullptr, nullptr);
  }
}

}  // namespace sonde::runtime
