// SPDX-License-Identifier: Apache-2.0
#include "agent/life/process_end.h"

#include <errno.h>
#include <string.h>

#include "agent/life/proc_text.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/region_text.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

// The state letter of /proc/PID/stat; 0 when it cannot be read.
char StateOf(int pid) {
  FixedText<32> path;
  path.Add("/proc/").Add(static_cast<uint64_t>(pid)).Add("/stat");
  char text[256];
  ReadProcText(path.c_str(), text, sizeof text);
  const char* name_end = strrchr(text, ')');
  return name_end != nullptr && name_end[1] == ' ' ? name_end[2] : 0;
}

}  // namespace

bool ProcessHasEnded(int pid, uint64_t start_ticks) {
  if (pid <= 0 || sys::Call(SYS_kill, pid, 0L) == -ESRCH) return true;
  const char state = StateOf(pid);
  if (state == 'Z' || state == 'X') return true;
  const uint64_t ticks = StartTicksOf(pid);
  return ticks != 0 && start_ticks != 0 && ticks != start_ticks;
}

}  // namespace sonde::life
