// SPDX-License-Identifier: Apache-2.0
#include "collectors/wait_note_reader.h"

#include "collectors/contention.h"
#include "collectors/safe/wait_note.h"

namespace sonde {
namespace {

using ReadWord = std::function<bool(uint64_t address, uint64_t* value)>;

constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kWords = sizeof(WaitNote) / kWord;

// What a stale note would point to is another's by now.
bool IsCalledFrom(const HookFrame& caller, uint64_t note, const ReadWord& word) {
  uint64_t pushed = 0;
  return caller.stack_pointer > note && caller.stack_pointer - note <= kWaitNoteReach &&
         caller.stack_pointer % kWord == 0 && word(caller.stack_pointer - kWord, &pushed) &&
         pushed == caller.return_address;
}

std::optional<FoundWaitNote> NoteAt(uint64_t address, const ReadWord& word) {
  uint64_t words[kWords];
  for (uint64_t i = 0; i < kWords; ++i) {
    if (!word(address + i * kWord, &words[i])) return std::nullopt;
  }
  const FoundWaitNote note{static_cast<Kind>(words[2]), words[1], {words[3], words[4], words[5]}};
  const bool waits = words[2] < kKindLimit && IsContention(note.kind) && note.kind != Kind::kUnlock;
  if (!waits || !IsCalledFrom(note.caller, address, word)) return std::nullopt;
  return note;
}

}  // namespace

std::optional<FoundWaitNote> FindWaitNote(uint64_t sp, const ReadWord& word) {
  const uint64_t first = (sp + kWord - 1) & ~(kWord - 1);
  for (uint64_t at = first; at - first < kWaitNoteReach; at += kWord) {
    uint64_t value = 0;
    if (!word(at, &value)) return std::nullopt;
    if (value != WaitNote::MarkAt(at)) continue;
    if (auto note = NoteAt(at, word)) return note;
  }
  return std::nullopt;
}

}  // namespace sonde
