// SPDX-License-Identifier: Apache-2.0
#include "collectors/ring_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "collectors/host_threads.h"
#include "collectors/safe/rings.h"
#include "collectors/safe/sys.h"

namespace sonde {

// Behind the name of a file of that name a path would begin with a slash.
bool IsMappingOfRing(std::string_view line) { return line.ends_with(" anon_inode:[io_uring]"); }

RingWatch::RingWatch(int agent_tid)
    : maps_fd_(sys::Call(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC)),
      agent_tid_(agent_tid) {}

RingWatch::~RingWatch() {
  if (!sys::Failed(maps_fd_)) sys::Call(SYS_close, maps_fd_);
}

// The kernel gives whole lines.
bool RingWatch::MapsShowRing() const {
  char text[8192];
  sys::Call(SYS_lseek, maps_fd_, 0L, SEEK_SET);
  for (;;) {
    const long size = sys::Call(SYS_read, maps_fd_, text, sizeof text);
    if (sys::Failed(size) || size == 0) return false;
    std::string_view rest(text, static_cast<size_t>(size));
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      if (IsMappingOfRing(rest.substr(0, end))) return true;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

void RingWatch::Tick(uint64_t now_ns) {
  if (now_ns < next_ns_ || ProcessHasRing() || sys::Failed(maps_fd_)) return;
  uint64_t before_ns = 0;
  uint64_t after_ns = 0;
  ThreadCpuTime(agent_tid_, &before_ns);
  if (MapsShowRing()) NoteRing();
  ThreadCpuTime(agent_tid_, &after_ns);
  const uint64_t took_ns = after_ns - std::min(before_ns, after_ns);
  next_ns_ = now_ns + std::max(interval_ns_, took_ns * kShare);
  interval_ns_ = std::min(2 * interval_ns_, kMostIntervalNs);
}

}  // namespace sonde
