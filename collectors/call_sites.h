// SPDX-License-Identifier: Apache-2.0
// Whether a number found on a stack can be a return address: what stands before it is a call, and
// of what. Reads code through the memory file, so code that goes away meanwhile is no harm.
//
// Used by the walk from outside, on the agent thread; not thread-safe. Memory: one entry for each
// address asked about, at most kMaxCached.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "collectors/process_memory.h"

namespace sonde {

struct CallSite {
  bool is_call = false;
  uint64_t target = 0;  // the function called, behind the PLT too; 0: an indirect call
};

class CallSites {
 public:
  static constexpr size_t kMaxCached = 16384;

  explicit CallSites(const ProcessMemory& memory) : memory_(memory) {}

  void Clear() { known_.clear(); }

  // `return_address` is in known code.
  CallSite Before(uint64_t return_address);

 private:
  CallSite Decode(uint64_t return_address) const;
  uint64_t BehindPlt(uint64_t target) const;

  const ProcessMemory& memory_;
  std::unordered_map<uint64_t, CallSite> known_;
};

}  // namespace sonde
