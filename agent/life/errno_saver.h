// SPDX-License-Identifier: Apache-2.0
// Keeps errno over code that runs inside a hook. Async-signal-safe.
#pragma once

#include <errno.h>

namespace sonde::life {

class ErrnoSaver {
 public:
  ErrnoSaver() : saved_(errno) {}
  ~ErrnoSaver() { errno = saved_; }
  ErrnoSaver(const ErrnoSaver&) = delete;
  ErrnoSaver& operator=(const ErrnoSaver&) = delete;

 private:
  int saved_;
};

}  // namespace sonde::life
