// SPDX-License-Identifier: Apache-2.0
#include "agent/life/off_line.h"

#include <atomic>

#include "agent/life/self.h"
#include "collectors/safe/region_text.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr int kStderr = 2;
constexpr int64_t kQuiet = 1;  // of SONDE_LOG
constinit std::atomic<bool> g_loading{false};

}  // namespace

void LoadBegins() { g_loading.store(true, std::memory_order_relaxed); }
void LoadEnds() { g_loading.store(false, std::memory_order_relaxed); }

void SayOff(const char* why) {
  if (!g_loading.load(std::memory_order_relaxed)) return;
  if (g_self.environment.settings.log == kQuiet) return;
  FixedText<256> line;
  line.Add("sonde: off: ").Add(why).Add("\n");
  sys::Call(SYS_write, kStderr, line.c_str(), line.length());
}

}  // namespace sonde::life
