// SPDX-License-Identifier: Apache-2.0
// What the endpoint may ask for a wall-clock profile; agent/life implements it, tests over their
// own process. Agent thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "collectors/wall.h"
#include "profile/cpu_window.h"

namespace sonde {

struct WallProcess {
  int pid = 0;
  const Wall* wall = nullptr;
};

// All threads of this process and its children, from the opening on.
class WallCapture {
 public:
  virtual ~WallCapture() = default;
  // Looks at them; CLOCK_MONOTONIC of when it is to be called again.
  virtual uint64_t Observe(uint64_t now_ns) = 0;
  // The last look. This process first.
  virtual std::vector<WallProcess> Finish(uint64_t now_ns) = 0;
  // CPU time of all looks.
  [[nodiscard]] virtual uint64_t agent_cpu_ns() const = 0;
  // Sentences: which processes were not looked at, and why.
  [[nodiscard]] virtual std::vector<std::string> NotLookedAt() const { return {}; }
};

// Waiting of one thread at one stack, from the recording.
struct WallPastSample {
  std::vector<uint64_t> frames;  // leaf first; frames[0] is a pc, the others are return addresses
  std::string synthetic_leaf;    // instead of frames: why there are none
  std::string thread_name;
  int pid = 0;
  int tid = 0;
  int number = -1;  // of the system call; -1: none
  int64_t looks = 0;
  int64_t ns = 0;
};

struct WallPast {
  std::vector<WallPastSample> samples;
  CpuWindow window;           // when and for how long; no samples
  int64_t since_unix_ms = 0;  // when recording was switched on; 0: it is off now
};

class WallSource {
 public:
  virtual ~WallSource() = default;
  [[nodiscard]] virtual std::unique_ptr<WallCapture> OpenWall(uint64_t period_ns) = 0;
  // Null: waiting is being recorded. Else a sentence: why not, and how that is switched on.
  [[nodiscard]] virtual const char* WhyNotRecorded() const = 0;
  // Waiting between two times since 1970, whether it is recorded now or not.
  [[nodiscard]] virtual WallPast ReadPast(int64_t from_unix_ns, int64_t to_unix_ns) = 0;
};

}  // namespace sonde
