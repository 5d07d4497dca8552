// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/context.h"

#include "agent/endpoints/own_memory.h"
#include "agent/endpoints/perf_maps.h"

namespace sonde {

Symbolizer& Context::Symbols() {
  if (symbols_ == nullptr) {
    SymbolizerOptions options;
    // Indexes must leave room for the profile itself in the agent's memory.
    options.max_index_bytes = static_cast<size_t>(config->current().memory_limit_bytes) / 4;
    options.max_debugdata_bytes = options.max_index_bytes;
    options.memory = OwnMemoryReader();
    options.memory_pid = sources->Status().pid;
    options.open_perf_map = [own = options.memory_pid](int pid) { return OpenPerfMapOf(pid, own); };
    symbols_ = std::make_unique<Symbolizer>(std::move(options));
  }
  return *symbols_;
}

}  // namespace sonde
