// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/perf_maps.h"

#include <cstdint>
#include <string>

#include "collectors/safe/sys.h"
#include "profile/perf_map.h"

namespace sonde {

// As the process sees its root: a JIT compiler writes there.
Result<std::unique_ptr<ByteSource>> OpenPerfMapOf(int pid, int own_pid) {
  const std::string number = std::to_string(pid);
  const std::string root = pid == own_pid ? "" : "/proc/" + number + "/root";
  const auto uid = static_cast<uint32_t>(sys::Call(SYS_geteuid));
  return OpenPerfMap(root + "/tmp/perf-" + number + ".map", uid);
}

}  // namespace sonde
