// SPDX-License-Identifier: Apache-2.0
// One line on stderr that tells how far a capture is; nothing at all when stderr is not a terminal.
// The line is wiped when this object goes, however the capture ended. One thread.
#pragma once

#include <chrono>
#include <string>

namespace sonde::cli {

class Progress {
 public:
  // "CPU of pid 7", 10 s
  Progress(std::string what, std::chrono::milliseconds length, bool quiet = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Redraws when a second has passed since the last time.
  void Tick();

 private:
  std::string what_;
  double length_seconds_;
  std::chrono::steady_clock::time_point start_;
  bool active_;
  int shown_second_ = -1;
  size_t width_ = 0;
};

}  // namespace sonde::cli
