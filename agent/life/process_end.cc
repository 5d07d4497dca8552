// SPDX-License-Identifier: Apache-2.0
#include "agent/life/process_end.h"

#include <errno.h>
#include <fcntl.h>
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

MainThreadWatch::MainThreadWatch()
    : fd_(sys::Call(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC)) {}

MainThreadWatch::~MainThreadWatch() {
  if (!sys::Failed(fd_)) sys::Call(SYS_close, fd_);
}

// A main thread that has left has no memory any more: all its sizes are zero.
bool MainThreadWatch::HasLeft(int pid) const {
  char text[2] = {};
  const bool read = !sys::Failed(fd_) && sys::Call(SYS_pread64, fd_, text, sizeof text, 0L) ==
                                             static_cast<long>(sizeof text);
  const bool has_memory = read && (text[0] != '0' || text[1] != ' ');
  return !has_memory && ProcessHasEnded(pid, 0);
}

}  // namespace sonde::life
