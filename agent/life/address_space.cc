// SPDX-License-Identifier: Apache-2.0
#include "agent/life/address_space.h"

#include <sys/resource.h>

#include "agent/life/proc_text.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr uint64_t kPageBytes = 4096;

// The process's size, the first number of /proc/self/statm; it bounds its data too.
uint64_t MappedBytes() {
  char text[32];
  ReadProcText("/proc/self/statm", text, sizeof text);
  uint64_t pages = 0;
  for (const char* c = text; *c >= '0' && *c <= '9'; ++c)
    pages = pages * 10 + static_cast<uint64_t>(*c - '0');
  return pages * kPageBytes;
}

bool LeavesRoom(int which) {
  rlimit limit{};
  if (sys::Failed(sys::Call(SYS_prlimit64, 0, which, 0L, &limit))) return true;
  return limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= MappedBytes() + kHeadroomBytes;
}

}  // namespace

bool HasAddressSpace() { return LeavesRoom(RLIMIT_AS) && LeavesRoom(RLIMIT_DATA); }

}  // namespace sonde::life
