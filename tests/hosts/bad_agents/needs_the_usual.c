// SPDX-License-Identifier: Apache-2.0
// Sin: takes for granted what most machines have, and ends the host where it is not so.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int CanMakeAFileIn(const char* directory) {
  const int fd = open(directory, O_TMPFILE | O_RDWR, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

__attribute__((constructor)) static void Start(void) {
  const int no_proc = access("/proc/self/status", R_OK) != 0;
  const int no_directory = !CanMakeAFileIn("/tmp") || !CanMakeAFileIn("/dev/shm");
  syscall(SYS_close_range, ~0U, ~0U, 0U);
  if (no_proc || no_directory) _exit(1);
}
