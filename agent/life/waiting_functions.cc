// SPDX-License-Identifier: Apache-2.0
#include "agent/life/waiting_functions.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <unordered_map>

#include "agent/runtime/resolve.h"
#include "collectors/lock_words.h"

namespace sonde::life {
namespace {

constexpr size_t kFramesThatTell = 6;

constexpr std::array kWaitingFunctions = {"pthread_mutex_lock",
                                          "pthread_mutex_timedlock",
                                          "pthread_mutex_clocklock",
                                          "pthread_rwlock_rdlock",
                                          "pthread_rwlock_wrlock",
                                          "pthread_rwlock_timedrdlock",
                                          "pthread_rwlock_timedwrlock",
                                          "pthread_rwlock_clockrdlock",
                                          "pthread_rwlock_clockwrlock",
                                          "pthread_cond_wait",
                                          "pthread_cond_timedwait",
                                          "pthread_cond_clockwait",
                                          "cnd_wait",
                                          "cnd_timedwait",
                                          "sem_wait",
                                          "sem_timedwait",
                                          "sem_clockwait",
                                          "pthread_join",
                                          "pthread_timedjoin_np",
                                          "pthread_clockjoin_np",
                                          "thrd_join",
                                          "pthread_barrier_wait",
                                          "mtx_lock",
                                          "mtx_timedlock"};

using ByStart = std::unordered_map<uint64_t, std::string_view>;

ByStart Exported() {
  ByStart found;
  for (const char* name : kWaitingFunctions) {
    const auto at = reinterpret_cast<uint64_t>(runtime::NextSymbol(name));
    if (at != 0) found.emplace(at, name);
  }
  return found;
}

// Where a `jmp rel32` of the function at `start` leads whose first byte is code[i]; 0: it is none,
// or its target is not where a function begins.
uint64_t TailCalled(FunctionStarts* starts, uint64_t start, const unsigned char* code, size_t i) {
  constexpr unsigned char kJump = 0xe9;
  int32_t distance = 0;
  if (code[i] != kJump) return 0;
  memcpy(&distance, code + i + 1, sizeof(distance));
  const uint64_t after = start + i + 1 + sizeof(distance);
  const uint64_t target = after + static_cast<uint64_t>(int64_t{distance});
  const bool is_call = starts->StartOf(after - 1) == start && starts->StartOf(target) == target;
  return is_call && target != start ? target : 0;
}

// sem_wait and pthread_join jump to functions without names, in which the thread then waits. One
// that several kinds jump to says nothing.
void AddTailCalled(ProcessThreads* process, ByStart* functions) {
  unsigned char code[256];
  ByStart found;
  for (const auto& [start, name] : *functions) {
    if (!process->memory().Read(start, code, sizeof(code))) continue;
    for (size_t i = 0; i + 1 + sizeof(int32_t) <= sizeof(code); ++i) {
      const uint64_t target = TailCalled(process->starts(), start, code, i);
      if (target == 0 || functions->contains(target)) continue;
      const auto [place, is_new] = found.emplace(target, name);
      if (!is_new && LockKindOfFunction(place->second) != LockKindOfFunction(name)) {
        place->second = {};
      }
    }
  }
  functions->insert(found.begin(), found.end());
}

// By where they start. Forked children have them where we have.
const ByStart& WaitingFunctions(ProcessThreads* process) {
  static const ByStart functions = [process] {
    ByStart found = Exported();
    AddTailCalled(process, &found);
    return found;
  }();
  return functions;
}

}  // namespace

std::vector<std::string_view> WaitingFunctionsOf(ProcessThreads* process,
                                                 const ThreadRecord& record) {
  std::vector<std::string_view> names;
  const ByStart& functions = WaitingFunctions(process);
  for (size_t i = 0; i < std::min(record.frames.size(), kFramesThatTell); ++i) {
    const uint64_t pc = i == 0 ? record.frames[0] : record.frames[i] - 1;
    const auto known = functions.find(process->starts()->StartOf(pc));
    names.push_back(known != functions.end() ? known->second : std::string_view());
  }
  return names;
}

}  // namespace sonde::life
