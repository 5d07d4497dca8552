// SPDX-License-Identifier: Apache-2.0
// CPU samples of a window of time, and how they become a profile: of a capture that was opened for
// it, of the recording of the last minutes, or of a region file. Shared by the agent and the CLI.
// Plain values and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "profile/mappings.h"
#include "profile/profile_builder.h"

namespace sonde {

// One distinct (process, thread, stack) of a window.
struct CpuSample {
  std::vector<uint64_t> frames;  // leaf first; frames[0] is a pc, the others are return addresses
  std::string synthetic_leaf;    // "[signal blocked]" and the like, leaf-most; empty: none
  std::string synthetic_root;    // why the frames end before the root; empty: they do not
  std::string thread_name;
  int pid = 0;
  int tid = 0;
  int64_t count = 0;   // samples
  int64_t cpu_ns = 0;  // CPU time they stand for
  // Where its addresses lie: an index into CpuWindow::spaces; -1: in what the process has mapped
  // now.
  int space = -1;
};

// A part of a window in which nothing was sampled.
struct CpuGap {
  int64_t from_unix_ns = 0;
  int64_t to_unix_ns = 0;
  std::string reason;
};

struct CpuWindow {
  std::vector<CpuSample> samples;            // losses included, with a synthetic leaf
  std::vector<std::vector<Mapping>> spaces;  // the main program's mapping first
  int64_t from_unix_ns = 0;
  int64_t to_unix_ns = 0;  // not behind from_unix_ns: there is nothing
  int64_t covered_ns = 0;  // from … to without the gaps
  int rate_hz = 0;         // samples a second of CPU time, the highest that was in force
  std::vector<CpuGap> gaps;
  // A process whose generated code has names that may be newer than what ran before then.
  struct NewNames {
    int pid = 0;
    int64_t unix_ns = 0;
  };
  std::vector<NewNames> new_names;
  // Why it may begin later than it was asked for: "the agent started then" and the like.
  std::string begins_late;
};

// What a reader must know of the window: that it is shorter than `asked_from_ns` … `asked_to_ns`
// and why, and where nothing was sampled. One sentence each; none for a whole window. In a profile
// each is a comment behind kWindowComment.
std::vector<std::string> WindowNotes(const CpuWindow& window, int64_t asked_from_ns,
                                     int64_t asked_to_ns);
inline constexpr const char* kWindowComment = "window: ";

// Samples and CPU time, with the window's time and length.
ProfileOptions CpuProfileOptions(const CpuWindow& window);

// False: the builder refused it. `thread_name` is the sample's, fit for a profile.
[[nodiscard]] bool AddCpuSample(const CpuSample& sample, std::string_view thread_name,
                                size_t address_space, ProfileBuilder* builder);

}  // namespace sonde
