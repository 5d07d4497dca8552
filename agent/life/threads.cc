// SPDX-License-Identifier: Apache-2.0
#include "agent/life/threads.h"

#include <atomic>
#include <cstdint>

#include "agent/life/self.h"
#include "agent/life/self_timer.h"
#include "agent/life/yield.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr uint32_t kRecords = 256;

struct alignas(32) StartRecord {
  std::atomic<bool> used;
  void* (*function)(void*);
  void* argument;
};
constinit StartRecord g_records[kRecords]{};
constinit std::atomic<uint32_t> g_next{0};
constinit std::atomic<bool> g_made_threads{false};
constinit pthread_t g_main_thread = 0;

}  // namespace

void NoteThreadCreation() {
  if (g_phase.load(std::memory_order_relaxed) == Phase::kInert) return;
  g_made_threads.store(true, std::memory_order_relaxed);
  if (g_trigger_wanted.load(std::memory_order_relaxed)) OnTrigger();
}

bool HostMadeThreads() { return g_made_threads.load(std::memory_order_relaxed); }

void ForgetHostThreads() { g_made_threads.store(false, std::memory_order_relaxed); }

// Malloc-safe: may not allocate or block.
void* ClaimStart(void* (*function)(void*), void* argument) {
  if (!Collecting() || !NewThreadsArmThemselves()) return nullptr;
  const uint32_t from = g_next.fetch_add(1, std::memory_order_relaxed);
  for (uint32_t i = 0; i < 8; ++i) {
    StartRecord& record = g_records[(from + i) % kRecords];
    bool expected = false;
    // Acquire pairs with the release in BeginThread and DropStart.
    if (!record.used.compare_exchange_strong(expected, true, std::memory_order_acquire)) continue;
    record.function = function;
    record.argument = argument;
    return &record;
  }
  return nullptr;
}

void DropStart(void* record) {
  static_cast<StartRecord*>(record)->used.store(false, std::memory_order_release);
}

StartRoutine BeginThread(void* record) {
  auto* start = static_cast<StartRecord*>(record);
  const StartRoutine routine{start->function, start->argument};
  start->used.store(false, std::memory_order_release);
  ArmSelf();
  return routine;
}

void BeforeThreadExit() {
  const Phase phase = g_phase.load(std::memory_order_relaxed);
  if (phase == Phase::kInert || phase == Phase::kDormant) return;
  if (sys::Gettid() == sys::Getpid()) GoDormant(DormantReason::kMainThreadLeft);
}

void NoteMainThread() { g_main_thread = pthread_self(); }

void BeforeCancel(pthread_t thread) {
  const Phase phase = g_phase.load(std::memory_order_relaxed);
  if (phase == Phase::kInert || phase == Phase::kDormant) return;
  if (pthread_equal(thread, g_main_thread) != 0) GoDormant(DormantReason::kMainThreadLeft);
}

}  // namespace sonde::life
