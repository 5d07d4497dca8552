// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/cpu_timers.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <thread>

namespace sonde {
namespace {

constexpr uint64_t kPeriodNs = 10'000'000;
constexpr uint64_t kNever = 3'000'000'000'000;

int Tid() { return static_cast<int>(syscall(SYS_gettid)); }
int Start() { return StartTimer(Tid(), {1, 1, true}, kPeriodNs, kNever, SIGPROF); }

class CpuTimersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SetTimerBudget({});
    AllowTimers();
  }
  void TearDown() override {
    StopAllTimers(StopReason::kOff);
    SetTimerBudget({});
  }
};

TEST_F(CpuTimersTest, ACookieFindsItsTimerUntilItIsStopped) {
  const int index = Start();
  ASSERT_GE(index, 0);
  const TimerCookie cookie{static_cast<uint16_t>(index),
                           TimerAt(static_cast<uint32_t>(index)).generation.load()};
  EXPECT_EQ(FindTimer(cookie.Pack()), &TimerAt(static_cast<uint32_t>(index)));
  StopTimer(static_cast<uint32_t>(index));
  EXPECT_EQ(FindTimer(cookie.Pack()), nullptr);
  EXPECT_EQ(TimersHeld(), 0u);
}

TEST_F(CpuTimersTest, AThreadHoldsOneTimerHoweverOftenItIsArmed) {
  EXPECT_GE(Start(), 0);
  EXPECT_GE(Start(), 0);
  EXPECT_EQ(TimersHeld(), 1u);
}

TEST_F(CpuTimersTest, TheBudgetIsSharedAndGivenBack) {
  std::atomic<uint32_t> total{9};
  std::atomic<uint32_t> mine{0};
  std::atomic<uint32_t> limit{10};
  SetTimerBudget({&total, &mine, &limit});
  const int index = Start();
  ASSERT_GE(index, 0);
  EXPECT_EQ(total, 10u);
  EXPECT_EQ(mine, 1u);
  std::thread([] { EXPECT_EQ(Start(), -EAGAIN); }).join();
  StopTimer(static_cast<uint32_t>(index));
  EXPECT_EQ(total, 9u);
  EXPECT_EQ(mine, 0u);
}

TEST_F(CpuTimersTest, StoppedTimersAreRefusedUntilAllowed) {
  StopAllTimers(StopReason::kSeccomp);
  EXPECT_EQ(Start(), -EBUSY);
  AllowTimers();
  EXPECT_GE(Start(), 0);
}

TEST_F(CpuTimersTest, AForbiddenThreadLosesItsTimerAndGetsNone) {
  EXPECT_GE(Start(), 0);
  ForbidTimer(Tid());
  EXPECT_EQ(TimersHeld(), 0u);
  EXPECT_EQ(Start(), -EPERM);
  PermitTimer(Tid());
  EXPECT_GE(Start(), 0);
}

TEST_F(CpuTimersTest, TimersOfEndedThreadsAreReaped) {
  std::thread([] { EXPECT_GE(Start(), 0); }).join();
  EXPECT_GE(Start(), 0);
  EXPECT_EQ(TimersHeld(), 2u);
  static int gone;
  gone = 0;
  ReapTimers([](ThreadId) { ++gone; });
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(TimersHeld(), 1u);
}

TEST_F(CpuTimersTest, AThreadCanHoldATimerOfItsUserTime) {
  const int index =
      StartTimer(Tid(), {1, 1, true}, kPeriodNs, kNever, SIGPROF, 1, TimerClock::kUser);
  ASSERT_GE(index, 0);
  const TimerSlot& slot = TimerAt(static_cast<uint32_t>(index));
  EXPECT_EQ(slot.clock.load(), TimerClock::kUser);
  itimerspec left{};
  ASSERT_EQ(syscall(SYS_timer_gettime, slot.kernel_id, &left), 0);
  const time_t before_s = left.it_value.tv_sec;
  EXPECT_GE(Start(), 0);
  EXPECT_EQ(TimersHeld(), 1u);
  EXPECT_EQ(slot.clock.load(), TimerClock::kAll);
  EXPECT_GT(before_s, 2000);
}

TEST_F(CpuTimersTest, WhatIsForbiddenForOneReasonIsNotPermittedForAnother) {
  ForbidTimer(Tid(), ForbidReason::kRing);
  PermitTimer(Tid());
  EXPECT_TRUE(IsForbidden(Tid(), ForbidReason::kRing));
  EXPECT_FALSE(IsForbidden(Tid(), ForbidReason::kStack));
  EXPECT_EQ(Start(), -EPERM);
  PermitTimer(Tid(), ForbidReason::kRing);
  EXPECT_GE(Start(), 0);
}

TEST_F(CpuTimersTest, ATracedThreadStaysForbiddenWhateverItsAlternateStack) {
  ForbidTimer(Tid(), ForbidReason::kTraced);
  PermitTimer(Tid());
  EXPECT_TRUE(IsForbidden(Tid()));
  EXPECT_EQ(StartOneShot(Tid(), {}, kPeriodNs, SIGPROF), -EPERM);
  PermitTimer(Tid(), ForbidReason::kTraced);
  EXPECT_FALSE(IsForbidden(Tid()));
}

TEST_F(CpuTimersTest, ThreadsThatHaveEndedDoNotFillTheListOfForbiddenOnes) {
  for (int i = 0; i < 600; ++i) {
    std::thread([] { ForbidTimer(Tid(), ForbidReason::kRing); }).join();
  }
  EXPECT_GE(Start(), 0);
}

TEST_F(CpuTimersTest, PhasesLieWithinThePeriodAndDiffer) {
  uint64_t first = RandomPhase(kPeriodNs);
  bool differ = false;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t phase = RandomPhase(kPeriodNs);
    ASSERT_GE(phase, 1u);
    ASSERT_LE(phase, kPeriodNs);
    differ = differ || phase != first;
  }
  EXPECT_TRUE(differ);
}

}  // namespace
}  // namespace sonde
