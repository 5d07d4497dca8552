// SPDX-License-Identifier: Apache-2.0
// Finds the note that a measuring lock hook left on the stack of a waiting thread
// (safe/wait_note.h). Pure; any thread. No memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "collectors/safe/hook_stack.h"
#include "collectors/safe/region_layout.h"

namespace sonde {

// Of the frames of libc's waiting functions and of the hook's, which lie below the note and hold
// it; the largest seen take 400 bytes.
inline constexpr size_t kWaitNoteReach = 2048;

struct FoundWaitNote {
  Kind kind = Kind::kNone;  // kWaitMutex and the like
  uint64_t since_ns = 0;    // CLOCK_MONOTONIC
  HookFrame caller{};
};

// The innermost wait above `sp`. `word` reads an aligned word of the stack; false: it cannot.
std::optional<FoundWaitNote> FindWaitNote(
    uint64_t sp, const std::function<bool(uint64_t address, uint64_t* value)>& word);

}  // namespace sonde
