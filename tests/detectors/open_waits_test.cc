// SPDX-License-Identifier: Apache-2.0
#include "collectors/open_waits.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cstring>
#include <vector>

#include "collectors/safe/wait_note.h"
#include "collectors/wait_note_reader.h"

namespace sonde {
namespace {

constexpr uint64_t kCaller = 0x401234;  // a return address
constexpr uint64_t kSince = 77'000'000'000;
constexpr size_t kWords = 1024;

// A stack as a waiting thread leaves it, low addresses first, and nothing else that can be read.
class OpenWaitsTest : public ::testing::Test, public ReadableMemory {
 public:
  bool Read(uint64_t address, void* out, size_t size) const override {
    const uint64_t begin = AddressOf(0);
    if (address < begin || address + size > begin + readable_) return false;
    memcpy(out, reinterpret_cast<const void*>(address), size);
    return true;
  }

 protected:
  [[nodiscard]] uint64_t AddressOf(size_t word) const {
    return reinterpret_cast<uint64_t>(&stack_[word]);
  }
  // A hook's frame with its note at word `at`, called from `frame` words above it.
  WaitNote* Note(size_t at, size_t frame = 20, Kind kind = Kind::kWaitMutex) {
    auto* const note = reinterpret_cast<WaitNote*>(&stack_[at]);
    stack_[at + frame] = kCaller;
    note->Begin({kCaller, AddressOf(at + frame + 1), 0x7fff'0000}, kind, kSince);
    return note;
  }
  [[nodiscard]] ThreadRecord Waiter(size_t sp = 0) const {
    ThreadRecord waiter;
    waiter.where.kind = WhereItWaits::Kind::kSystemCall;
    waiter.where.number = SYS_futex;
    waiter.where.sp = AddressOf(sp);
    waiter.frames = {0x7f01, 0x7f02, 0x7f03, kCaller, 0x405678};
    return waiter;
  }
  [[nodiscard]] std::optional<OpenWait> Wait(
      const ThreadRecord& waiter, const std::vector<std::string_view>& functions = {}) const {
    return OpenWaitOf(*this, waiter, functions);
  }

  alignas(4096) uint64_t stack_[kWords] = {};
  size_t readable_ = sizeof(stack_);
};

TEST_F(OpenWaitsTest, ANoteTellsSinceWhenForWhatAndWhoCalled) {
  Note(30, 20, Kind::kWaitSemaphore);
  const auto wait = Wait(Waiter());
  ASSERT_TRUE(wait);
  EXPECT_EQ(wait->kind, Kind::kWaitSemaphore);
  EXPECT_EQ(wait->since_ns, kSince);
  EXPECT_TRUE(wait->measured);
  EXPECT_EQ(wait->frames, (std::vector<uint64_t>{kCaller, 0x405678}));
}

TEST_F(OpenWaitsTest, TheReaderFindsTheFrameOfTheCaller) {
  Note(30);
  const auto note = FindWaitNote(AddressOf(0), [this](uint64_t address, uint64_t* value) {
    return ReadObject(address, value);
  });
  ASSERT_TRUE(note);
  EXPECT_EQ(note->caller.return_address, kCaller);
  EXPECT_EQ(note->caller.stack_pointer, AddressOf(51));
  EXPECT_EQ(note->caller.frame_pointer, 0x7fff'0000U);
}

TEST_F(OpenWaitsTest, AWaitThatHasEndedIsNone) {
  Note(30)->End();
  EXPECT_FALSE(Wait(Waiter()));
}

TEST_F(OpenWaitsTest, ACopyOfANoteIsNone) {
  Note(30);
  memcpy(&stack_[200], &stack_[30], sizeof(WaitNote));
  EXPECT_FALSE(Wait(Waiter(100)));
}

TEST_F(OpenWaitsTest, WordsBelowTheStackPointerAreNotLookedAt) {
  Note(30);
  EXPECT_FALSE(Wait(Waiter(31)));
}

TEST_F(OpenWaitsTest, AStaleNoteWhoseFrameIsAnothersIsPassedOver) {
  Note(30);
  stack_[50] = 0x999;  // pushed by another call since
  EXPECT_FALSE(Wait(Waiter()));
  Note(100);
  EXPECT_TRUE(Wait(Waiter()));
}

TEST_F(OpenWaitsTest, TheInnermostOfTwoCounts) {
  Note(30, 20, Kind::kWaitJoin);
  Note(100, 20, Kind::kWaitMutex);  // interrupted by a signal, whose handler waits
  EXPECT_EQ(Wait(Waiter())->kind, Kind::kWaitJoin);
}

TEST_F(OpenWaitsTest, ANoteThatSaysWhatNoHookWritesIsNone) {
  for (const uint64_t kind : {uint64_t{0}, uint64_t{1}, uint64_t{6}, uint64_t{12}, uint64_t{99}}) {
    Note(30)->kind = kind;
    EXPECT_FALSE(Wait(Waiter())) << kind;
  }
  Note(30)->stack_pointer = AddressOf(29);
  EXPECT_FALSE(Wait(Waiter()));
  Note(30)->stack_pointer = AddressOf(51) + 4;
  EXPECT_FALSE(Wait(Waiter()));
}

TEST_F(OpenWaitsTest, ACallerThatTheWalkDidNotMeetIsNone) {
  Note(30);
  ThreadRecord waiter = Waiter();
  waiter.frames = {0x7f01, 0x7f02};
  EXPECT_FALSE(Wait(waiter));
  waiter.frames = {kCaller};  // a pc
  EXPECT_FALSE(Wait(waiter));
}

TEST_F(OpenWaitsTest, AStackThatEndsSoonIsReadToItsEnd) {
  readable_ = 4096;
  Note(470);
  EXPECT_TRUE(Wait(Waiter(450)));
  EXPECT_FALSE(Wait(Waiter(511)));
}

TEST_F(OpenWaitsTest, OnlyWhoWaitsInAFutexWaitsForAThread) {
  Note(30);
  ThreadRecord waiter = Waiter();
  waiter.where.number = SYS_read;
  EXPECT_FALSE(Wait(waiter));
  waiter = Waiter();
  waiter.where.kind = WhereItWaits::Kind::kRunning;
  EXPECT_FALSE(Wait(waiter));
}

TEST_F(OpenWaitsTest, WhatNoHookMeasuresIsKnownByLibcsFunctions) {
  const auto wait = Wait(Waiter(), {"", "pthread_cond_wait", "cnd_wait"});
  ASSERT_TRUE(wait);
  EXPECT_EQ(wait->kind, Kind::kWaitCondition);
  EXPECT_FALSE(wait->measured);
  EXPECT_EQ(wait->since_ns, 0U);
  EXPECT_EQ(wait->frames, (std::vector<uint64_t>{kCaller, 0x405678}));
  EXPECT_EQ(Wait(Waiter(), {"", "pthread_rwlock_rdlock"})->kind, Kind::kWaitReadWrite);
  EXPECT_FALSE(Wait(Waiter(), {"", "", ""}));
  EXPECT_FALSE(Wait(Waiter(), {"", "pthread_barrier_wait"}));
  EXPECT_FALSE(Wait(Waiter(), {"", "", "", "", "pthread_join"}));  // nobody calls it
}

}  // namespace
}  // namespace sonde
