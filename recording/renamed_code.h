// SPDX-License-Identifier: Apache-2.0
// Where a recording of generated code must be cut: a compiler has used addresses again that were
// sampled, and before it they had another name. Only there, because each piece keeps stacks of its
// own. Used by the agent. Reentrant. Memory: 56 bytes a distinct address of generated code in the
// past; reads a perf map once for each process that has one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "collectors/past.h"
#include "profile/address_history.h"
#include "profile/byte_source.h"
#include "profile/result.h"

namespace sonde {

using PerfMapOpener = std::function<Result<std::unique_ptr<ByteSource>>(int pid)>;

// For ReadPast, in order. Empty: each sampled address had one name for the whole of `past`.
[[nodiscard]] std::vector<uint64_t> CutsOfRenamedCode(const Past& past,
                                                      const AddressHistory& history,
                                                      const PerfMapOpener& open);

}  // namespace sonde
