// SPDX-License-Identifier: Apache-2.0
#include "collectors/lock_words.h"

#include <linux/futex.h>
#include <sys/syscall.h>

namespace sonde {
namespace {

constexpr uint32_t kContended = 2;      // of a low-level lock: held, and somebody waits
constexpr uint64_t kOwnerOffset = 8;    // in pthread_mutex_t
constexpr uint64_t kWriterOffset = 24;  // in pthread_rwlock_t
// Futex words in pthread_rwlock_t: readers wait on the first, writers on either.
constexpr uint64_t kPhaseOffset = 8;
constexpr uint64_t kWritersOffset = 12;
// The first word of pthread_rwlock_t.
constexpr uint32_t kWritersTurn = 1;
constexpr uint32_t kReadersShift = 3;
constexpr int kMaxTid = 1 << 22;   // the kernel's PID_MAX_LIMIT
constexpr uint32_t kLockPi2 = 13;  // FUTEX_LOCK_PI2, Linux 5.14

struct NamedKind {
  std::string_view part;
  LockKind kind;
};
constexpr NamedKind kByFunction[] = {
    {"pthread_mutex_", LockKind::kMutex},     {"pthread_rwlock_", LockKind::kReadWriteLock},
    {"pthread_cond_", LockKind::kCondition},  {"sem_wait", LockKind::kSemaphore},
    {"sem_timedwait", LockKind::kSemaphore},  {"sem_clockwait", LockKind::kSemaphore},
    {"pthread_join", LockKind::kJoin},        {"pthread_timedjoin", LockKind::kJoin},
    {"pthread_clockjoin", LockKind::kJoin},   {"thrd_join", LockKind::kJoin},
    {"pthread_barrier_", LockKind::kBarrier}, {"mtx_", LockKind::kMutex},
    {"cnd_", LockKind::kCondition},
};

// The innermost function that says something, and its kind.
struct Caller {
  LockKind kind = LockKind::kOther;
  std::string_view function;
};

Caller CallerOf(const std::vector<std::string_view>& functions) {
  for (const std::string_view name : functions) {
    const LockKind kind = LockKindOfFunction(name);
    if (kind != LockKind::kOther) return {kind, name};
  }
  return {};
}

class Decoder {
 public:
  Decoder(const ReadableMemory& memory, const WhereItWaits& where,
          const std::function<bool(int tid)>& is_thread)
      : memory_(memory),
        is_thread_(is_thread),
        address_(where.arguments[0]),
        command_(static_cast<uint32_t>(where.arguments[1]) & FUTEX_CMD_MASK),
        is_private_((where.arguments[1] & FUTEX_PRIVATE_FLAG) != 0),
        value_(static_cast<uint32_t>(where.arguments[2])) {}

  // Its first word is the futex; a robust or priority-inheriting one has its owner in there.
  LockWait Mutex() const {
    LockWait wait{LockKind::kMutex, address_, ThreadAt(address_ + kOwnerOffset)};
    const bool inherits = command_ == FUTEX_LOCK_PI || command_ == kLockPi2;
    if (inherits || (wait.owner == 0 && value_ != kContended)) wait.owner = ThreadAt(address_);
    if (wait.owner == 0) wait.ended_owner = EndedAt(address_ + kOwnerOffset);
    return wait;
  }

  LockWait ReadWriteLock(std::string_view function) const {
    LockWait wait{LockKind::kReadWriteLock, address_ - kPhaseOffset};
    wait.writes = function.find("wrlock") != function.npos;
    wait.owner = ThreadAt(wait.object + kWriterOffset);
    if (wait.owner == 0 && wait.writes) {
      const uint64_t other = address_ - kWritersOffset;
      wait.owner = ThreadAt(other + kWriterOffset);
      if (wait.owner != 0) wait.object = other;
    }
    if (wait.owner == 0) wait.ended_owner = EndedAt(wait.object + kWriterOffset);
    if (wait.owner == 0 && wait.ended_owner == 0) wait.readers = ReadersOf(wait.object);
    return wait;
  }

  LockWait Join() const { return {LockKind::kJoin, address_, ThreadAt(address_)}; }

  [[nodiscard]] bool IsLowLevelLock() const {
    return command_ == FUTEX_WAIT && value_ == kContended;
  }
  [[nodiscard]] bool Inherits() const { return command_ == FUTEX_LOCK_PI || command_ == kLockPi2; }

 private:
  // A number that is no thread of this process is no owner.
  int ThreadAt(uint64_t address) const {
    uint32_t word = 0;
    if (!memory_.ReadObject(address, &word)) return 0;
    const int tid = static_cast<int>(word & FUTEX_TID_MASK);
    return tid != 0 && is_thread_(tid) ? tid : 0;
  }

  // Who held the lock and is gone. Of a lock that processes share the owner may be elsewhere.
  int EndedAt(uint64_t address) const {
    uint32_t word = 0;
    if (!is_private_ || !memory_.ReadObject(address, &word)) return 0;
    const auto tid = static_cast<int>(word);
    return tid > 0 && tid <= kMaxTid && !is_thread_(tid) ? tid : 0;
  }

  // Those that have the lock now, unless it is a writer's turn.
  uint32_t ReadersOf(uint64_t lock) const {
    uint32_t word = 0;
    if (!memory_.ReadObject(lock, &word) || (word & kWritersTurn) != 0) return 0;
    return word >> kReadersShift;
  }

  const ReadableMemory& memory_;
  const std::function<bool(int tid)>& is_thread_;
  const uint64_t address_;
  const uint32_t command_;
  const bool is_private_;
  const uint32_t value_;
};

}  // namespace

LockKind LockKindOfFunction(std::string_view name) {
  for (const NamedKind& row : kByFunction) {
    if (name.find(row.part) != name.npos) return row.kind;
  }
  return LockKind::kOther;
}

LockWait DecodeLockWait(const ReadableMemory& memory, const WhereItWaits& where,
                        const std::vector<std::string_view>& functions,
                        const std::function<bool(int tid)>& is_thread) {
  if (where.kind != WhereItWaits::Kind::kSystemCall || where.number != SYS_futex) return {};
  const Decoder decoder(memory, where, is_thread);
  const Caller caller = CallerOf(functions);
  LockWait wait{caller.kind, where.arguments[0]};
  // A condition variable's wait ends with locking the mutex again.
  const bool locks_again = caller.kind == LockKind::kCondition && decoder.IsLowLevelLock();
  if (caller.kind == LockKind::kMutex || locks_again || decoder.Inherits()) {
    wait = decoder.Mutex();
  } else if (caller.kind == LockKind::kReadWriteLock) {
    wait = decoder.ReadWriteLock(caller.function);
  } else if (caller.kind == LockKind::kJoin) {
    wait = decoder.Join();
  }
  wait.timed = where.arguments[3] != 0;
  return wait;
}

const char* LockKindName(LockKind kind) {
  switch (kind) {
    case LockKind::kNone:
      break;
    case LockKind::kMutex:
      return "mutex";
    case LockKind::kReadWriteLock:
      return "read-write lock";
    case LockKind::kCondition:
      return "condition variable";
    case LockKind::kSemaphore:
      return "semaphore";
    case LockKind::kJoin:
      return "end of a thread";
    case LockKind::kBarrier:
      return "barrier";
    case LockKind::kOther:
      return "futex";
  }
  return "";
}

}  // namespace sonde
