// SPDX-License-Identifier: Apache-2.0
// Names for the frames of one process's stacks, each looked up once. Agent thread only; lives as
// long as one answer. Memory: one entry a distinct address.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/endpoints/context.h"
#include "profile/mappings.h"

namespace sonde {

struct NamedFrame {
  std::string function;  // empty: no name
  uint64_t offset = 0;   // in the function, or in the module's link-time addresses
  std::string module;    // file name without its directory; empty: unknown code
  std::string text;      // profile/frame_text.h, or "0x7f…" outside all modules
};

class FrameNames {
 public:
  // `pid`: whose stacks they are, a process of the tree; 0: the agent's own.
  // `remembered` are its mappings when it cannot be asked any more; may be null.
  explicit FrameNames(Context* context, int pid = 0,
                      const std::vector<Mapping>* remembered = nullptr);

  // Names of generated code come from one pass over the process's perf map: first all stacks are
  // announced, then it is read. Without that such frames have no names.
  void Announce(const std::vector<uint64_t>& frames);
  void ReadPerfMap();

  // `address` is that of the instruction: a return address less 1.
  const NamedFrame& Of(uint64_t address);

  // Names of frames[0 … count), as `frames` of a stack: the first is a pc, the others return
  // addresses.
  std::vector<std::string_view> Functions(const std::vector<uint64_t>& frames, size_t count);

 private:
  [[nodiscard]] const Mapping* MappingAt(uint64_t address) const;

  Symbolizer* symbols_;
  int pid_;
  std::vector<Mapping> mappings_;  // by address
  std::vector<uint64_t> generated_;
  std::unordered_map<uint64_t, NamedFrame> known_;
};

// frames[i] of a stack as the address of an instruction.
inline uint64_t InstructionOf(const std::vector<uint64_t>& frames, size_t i) {
  return i == 0 ? frames[0] : frames[i] - 1;
}

}  // namespace sonde
