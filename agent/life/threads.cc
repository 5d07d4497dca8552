// SPDX-License-Identifier: Apache-2.0
#include "agent/life/threads.h"

#include <time.h>

#include <atomic>
#include <cstdint>

#include "agent/life/agent_thread.h"
#include "agent/life/self.h"
#include "agent/life/self_timer.h"
#include "agent/life/tree.h"
#include "agent/life/yield.h"
#include "collectors/safe/creator_draw.h"
#include "collectors/safe/sys.h"
#include "collectors/safe/thread_origins.h"

namespace sonde::life {
namespace {

constexpr uint32_t kRecords = 256;

struct alignas(64) StartRecord {
  std::atomic<bool> used;
  uint32_t weight;   // how many threads this one speaks for; 0: it does not arm itself
  uint64_t creator;  // hash of the stack that makes it; 0: not known
  uint32_t creator_weight;
  void* (*function)(void*);
  void* argument;
};
constinit StartRecord g_records[kRecords]{};
constinit std::atomic<uint32_t> g_next{0};
constinit std::atomic<uint32_t> g_made_threads{0};
constinit std::atomic<bool> g_news_wanted{false};
constinit std::atomic<bool> g_news{false};
constinit pthread_t g_main_thread = 0;
constinit CreatorDraw g_creator_draw;

// Without a system call where there is a vdso; a few milliseconds old.
uint64_t CoarseNowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Once, until the agent asks again: a host that makes many threads wakes nobody.
void TellOfThread() {
  if (!g_news_wanted.exchange(false, std::memory_order_relaxed)) return;
  g_news.store(true, std::memory_order_release);
  WakeAgentThread();
}

}  // namespace

void NoteThreadCreation() {
  if (g_phase.load(std::memory_order_relaxed) == Phase::kInert) return;
  g_made_threads.fetch_add(1, std::memory_order_relaxed);
  if (g_news_wanted.load(std::memory_order_relaxed)) TellOfThread();
  if (g_trigger_wanted.load(std::memory_order_relaxed)) OnTrigger();
}

bool HostMadeThreads() { return ThreadsMade() != 0; }

uint32_t ThreadsMade() { return g_made_threads.load(std::memory_order_relaxed); }

void AskForThreadNews(bool wanted) { g_news_wanted.store(wanted, std::memory_order_relaxed); }

// Acquire pairs with the release in TellOfThread.
bool TakeThreadNews() {
  return g_news.load(std::memory_order_relaxed) &&
         g_news.exchange(false, std::memory_order_acquire);
}

void ForgetHostThreads() {
  g_made_threads.store(0, std::memory_order_relaxed);
  g_news_wanted.store(false, std::memory_order_relaxed);
}

// Malloc-safe: may not allocate or block.
Creator NoteCreator(const HookFrame& caller) {
  if (!HookCounts(HookUse::kThreads)) return {};
  Creator creator;
  creator.weight = g_creator_draw.Draw(CoarseNowNs());
  if (creator.weight != 0)
    creator.stack = EnterHookStack(caller, Kind::kThread, creator.weight, creator.weight);
  return creator;
}

void CountCreation(const Creator& creator) {
  CountHookStack(creator.stack, Kind::kThread, creator.weight, creator.weight);
}

// Malloc-safe: may not allocate or block.
void* ClaimStart(void* (*function)(void*), void* argument, const Creator& creator) {
  const uint32_t weight = Collecting() ? DrawSelfArming() : 0;
  if (weight == 0 && creator.stack.hash == 0) return nullptr;
  const uint32_t from = g_next.fetch_add(1, std::memory_order_relaxed);
  for (uint32_t i = 0; i < 8; ++i) {
    StartRecord& record = g_records[(from + i) % kRecords];
    bool expected = false;
    // Acquire pairs with the release in BeginThread and DropStart.
    if (!record.used.compare_exchange_strong(expected, true, std::memory_order_acquire)) continue;
    record.weight = weight;
    record.creator = creator.stack.hash;
    record.creator_weight = creator.weight;
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
  const uint32_t weight = start->weight;
  const uint64_t creator = start->creator;
  const uint32_t creator_weight = start->creator_weight;
  start->used.store(false, std::memory_order_release);
  if (creator != 0) {
    EnterThreadOrigin(TreeThreadOrigins(), g_self.pid, sys::Gettid(), creator, creator_weight);
  }
  if (weight != 0) ArmNewThread(weight);
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
