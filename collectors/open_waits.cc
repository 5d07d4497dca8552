// SPDX-License-Identifier: Apache-2.0
#include "collectors/open_waits.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "collectors/lock_words.h"
#include "collectors/wait_note_reader.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kRead = kWaitNoteReach * 2;  // a note, and its caller's frame

// The part of a stack that a note may be in, read at once.
class StackBottom {
 public:
  // Up to the end of the page where the next one cannot be read: a stack may end there.
  StackBottom(const ReadableMemory& memory, uint64_t sp) : sp_(sp) {
    size_ = memory.Read(sp, bytes_, kRead) ? kRead : 0;
    if (size_ != 0) return;
    const size_t rest = kPage - sp % kPage;
    if (rest < kRead && memory.Read(sp, bytes_, rest)) size_ = rest;
  }

  bool ReadWord(uint64_t address, uint64_t* value) const {
    if (address < sp_ || address - sp_ + sizeof(*value) > size_) return false;
    memcpy(value, bytes_ + (address - sp_), sizeof(*value));
    return true;
  }

 private:
  const uint64_t sp_;
  size_t size_ = 0;
  unsigned char bytes_[kRead];
};

std::optional<OpenWait> ByNote(const ReadableMemory& memory, const ThreadRecord& waiter) {
  const StackBottom stack(memory, waiter.where.sp);
  const auto note = FindWaitNote(waiter.where.sp, [&](uint64_t address, uint64_t* value) {
    return stack.ReadWord(address, value);
  });
  if (!note) return std::nullopt;
  const auto caller = std::ranges::find(waiter.frames, note->caller.return_address);
  if (caller == waiter.frames.begin() || caller == waiter.frames.end()) return std::nullopt;
  return OpenWait{note->kind, note->since_ns, true, {caller, waiter.frames.end()}};
}

Kind KindOf(LockKind kind) {
  switch (kind) {
    case LockKind::kMutex:
      return Kind::kWaitMutex;
    case LockKind::kReadWriteLock:
      return Kind::kWaitReadWrite;
    case LockKind::kCondition:
      return Kind::kWaitCondition;
    case LockKind::kSemaphore:
      return Kind::kWaitSemaphore;
    case LockKind::kJoin:
      return Kind::kWaitJoin;
    default:
      return Kind::kNone;
  }
}

// What calls the outermost of them, as one of C11's may be made of one of pthread's.
std::optional<OpenWait> ByFunctions(const std::vector<std::string_view>& functions,
                                    const std::vector<uint64_t>& frames) {
  OpenWait wait;
  size_t caller = 0;
  for (size_t i = 0; i < std::min(functions.size(), frames.size()); ++i) {
    const Kind kind = KindOf(LockKindOfFunction(functions[i]));
    if (kind == Kind::kNone) continue;
    if (wait.kind == Kind::kNone) wait.kind = kind;
    caller = i + 1;
  }
  if (wait.kind == Kind::kNone || caller >= frames.size()) return std::nullopt;
  wait.frames.assign(frames.begin() + static_cast<ptrdiff_t>(caller), frames.end());
  return wait;
}

}  // namespace

std::optional<OpenWait> OpenWaitOf(const ReadableMemory& memory, const ThreadRecord& waiter,
                                   const std::vector<std::string_view>& functions) {
  const bool in_futex =
      waiter.where.kind == WhereItWaits::Kind::kSystemCall && waiter.where.number == SYS_futex;
  if (!in_futex || waiter.frames.empty()) return std::nullopt;
  if (auto wait = ByNote(memory, waiter)) return wait;
  return ByFunctions(functions, waiter.frames);
}

}  // namespace sonde
