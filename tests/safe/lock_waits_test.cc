// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/lock_waits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace sonde {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kStart = 1000 * kMs;
constexpr uint64_t kUnit = 64;

class LockWaitsTest : public ::testing::Test {
 protected:
  std::unique_ptr<LockWaits> waits_ = std::make_unique<LockWaits>();
  int locks_[4096] = {};
};

TEST_F(LockWaitsTest, AHolderIsChargedWithWhatFellIntoItsTime) {
  const void* lock = &locks_[0];
  EXPECT_EQ(ChargeUnlock(waits_.get(), lock, kStart), 0U);
  const WaitTicket a = BeginLockWait(waits_.get(), lock, kStart);
  const WaitTicket b = BeginLockWait(waits_.get(), lock, kStart + 10 * kMs);
  EXPECT_TRUE(IsWaitedFor(waits_.get(), lock));
  // 20 ms of a and 10 ms of b.
  EXPECT_EQ(ChargeUnlock(waits_.get(), lock, kStart + 20 * kMs), 30 * kMs);
  EndLockWait(a);
  // The next one held it for 5 ms, for which only b waited.
  EXPECT_EQ(ChargeUnlock(waits_.get(), lock, kStart + 25 * kMs), 5 * kMs);
  EndLockWait(b);
  EXPECT_FALSE(IsWaitedFor(waits_.get(), lock));
  EXPECT_EQ(ChargeUnlock(waits_.get(), lock, kStart + 99 * kMs), 0U);
}

TEST_F(LockWaitsTest, WaitersThatLeaveWithoutAnUnlockLeaveNothingBehind) {
  const void* lock = &locks_[0];
  const WaitTicket gives_up = BeginLockWait(waits_.get(), lock, kStart);
  const WaitTicket stays = BeginLockWait(waits_.get(), lock, kStart + kMs);
  EndLockWait(gives_up);
  EXPECT_EQ(ChargeUnlock(waits_.get(), lock, kStart + 3 * kMs), 2 * kMs);
  EndLockWait(stays);
}

TEST_F(LockWaitsTest, AClockThatWasReadBeforeTheWaiterCameChargesNobody) {
  const void* lock = &locks_[0];
  const WaitTicket wait = BeginLockWait(waits_.get(), lock, kStart + kMs);
  EXPECT_EQ(ChargeUnlock(waits_.get(), lock, kStart), 0U);
  EXPECT_EQ(ChargeUnlock(waits_.get(), lock, kStart + 2 * kMs), kMs);
  EndLockWait(wait);
}

TEST_F(LockWaitsTest, LocksDoNotMeetAndAFullGroupIsLeftOut) {
  std::vector<WaitTicket> tickets;
  size_t placed = 0;
  for (int& lock : locks_) {
    tickets.push_back(BeginLockWait(waits_.get(), &lock, kStart));
    if (tickets.back().slot != nullptr) ++placed;
  }
  EXPECT_GT(placed, LockWaits::kSlots / 2);
  EXPECT_LE(placed, LockWaits::kSlots);
  size_t charged = 0;
  for (const int& lock : locks_) {
    const uint64_t charge = ChargeUnlock(waits_.get(), &lock, kStart + 5 * kMs);
    EXPECT_TRUE(charge == 0 || charge == 5 * kMs) << charge;
    charged += charge != 0 ? 1 : 0;
  }
  EXPECT_EQ(charged, placed);
  for (const WaitTicket& ticket : tickets) EndLockWait(ticket);
  // Their places are free again.
  EXPECT_NE(BeginLockWait(waits_.get(), &locks_[7], kStart).slot, nullptr);
}

// Whoever unlocks is charged: in sum with what was waited, up to each waiter's last stretch.
TEST_F(LockWaitsTest, ChargesOfManyThreadsAddUpToTheirWaiting) {
  constexpr int kThreads = 4;
  constexpr uint64_t kRounds = 50'000;
  // A thread may lose its processor around its end of waiting: the truth lies in between.
  std::atomic<uint64_t> clock{kStart}, at_least{0}, at_most{0}, charged{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (uint64_t round = 0; round < kRounds; ++round) {
        const uint64_t from = clock.fetch_add(kUnit);
        const WaitTicket wait = BeginLockWait(waits_.get(), &locks_[0], from);
        clock.fetch_add(kUnit * 10);
        const uint64_t until = clock.fetch_add(kUnit);
        charged += ChargeUnlock(waits_.get(), &locks_[0], until);
        at_least += clock.load() - from;
        EndLockWait(wait);
        at_most += clock.load() - from;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(IsWaitedFor(waits_.get(), &locks_[0]));
  EXPECT_LE(charged, at_most + kThreads * kRounds * kUnit);
  EXPECT_GE(charged, at_least / 2);
}

// 200,000 draws: the mean of the amounts lies within 2 % of the delay, 10 standard errors for the
// shortest of these.
TEST_F(LockWaitsTest, SamplingIsUnbiased) {
  std::mt19937_64 random(7);
  for (const uint64_t delay_ns : {uint64_t{30'000}, uint64_t{60'000}, uint64_t{99'999}}) {
    for (const uint64_t period_ns : {kLockPeriodNs, 2 * kLockPeriodNs}) {
      double events = 0;
      double amount = 0;
      const int draws = period_ns == kLockPeriodNs ? 200'000 : 600'000;
      for (int i = 0; i < draws; ++i) {
        const DelaySample sample = SampleDelay(delay_ns, period_ns, random());
        events += static_cast<double>(sample.events);
        amount += static_cast<double>(sample.amount);
      }
      EXPECT_NEAR(amount / draws, static_cast<double>(delay_ns),
                  0.02 * static_cast<double>(delay_ns));
      EXPECT_NEAR(events / draws, 1, 0.02);
    }
  }
  EXPECT_EQ(SampleDelay(5 * kLockPeriodNs, kLockPeriodNs, 0).amount, 5 * kLockPeriodNs);
  EXPECT_EQ(SampleDelay(5 * kLockPeriodNs, kLockPeriodNs, ~0ULL).events, 1U);
  EXPECT_EQ(SampleDelay(0, kLockPeriodNs, 0).events, 0U);
}

// A hundred threads that wait all the time, 20 us each time: five million waits a second.
TEST(DelayPeriod, StacksAreBoundedAndSumsStayRight) {
  std::mt19937_64 random(11);
  DelayPeriod period;
  constexpr uint64_t kDelayNs = 20'000;
  constexpr uint64_t kWaits = 1'000'000;  // 200 ns apart, a fifth of a second
  uint64_t now_ns = kStart;
  const auto wait_for = [&](uint64_t waits, uint64_t* taken) {
    uint64_t sum_ns = 0;
    for (uint64_t i = 0; i < waits; ++i) {
      const DelaySample sample = SampleDelay(kDelayNs, period.At(now_ns += 200), random());
      if (sample.events == 0) continue;
      period.Count();
      ++*taken;
      sum_ns += sample.amount;
    }
    return static_cast<double>(sum_ns);
  };
  uint64_t taken = 0;
  wait_for(2 * kWaits, &taken);  // it learns
  taken = 0;
  const double sum_ns = wait_for(10 * kWaits, &taken);
  EXPECT_LE(taken, 2 * DelayPeriod::kDelaysPerSecond * 5 / 4);
  EXPECT_GE(taken, DelayPeriod::kDelaysPerSecond / 4);
  // Five standard errors of 500 stacks.
  EXPECT_NEAR(sum_ns / (10.0 * kWaits * kDelayNs), 1, 5 / std::sqrt(500.0));
  // After a calm second every long wait counts as at the beginning.
  EXPECT_EQ(period.At(now_ns + 5'000 * kMs), kLockPeriodNs);
}

}  // namespace
}  // namespace sonde
