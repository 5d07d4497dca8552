// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/cpu_handler.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <memory>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region_file.h"
#include "collectors/unwind_tables.h"

namespace sonde {
namespace {

constexpr uint64_t kPeriodNs = 10'000'000;
constexpr uint64_t kNever = 3'000'000'000'000;  // CPU time to the first real expiry

int g_foreign = 0;

// One process, one thread, one timer that never fires by itself: expiries are made up.
class CpuHandlerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateRegion({}, &region_, &origin_));
    process_ = ClaimProcess(region_, getpid(), StartTicksOf(getpid()), {}, 1);
    thread_ = ClaimThread(region_, process_, static_cast<int>(syscall(SYS_gettid)), 1);
    ASSERT_TRUE(TakeColdSide(region_, 0, process_));
    SetUpCpuHandler({region_, [](int, const siginfo_t&, void*) { ++g_foreign; }, nullptr});
    AllowTimers();
    index_ = StartTimer(static_cast<int>(syscall(SYS_gettid)), thread_, kPeriodNs, kNever, SIGPROF);
    ASSERT_GE(index_, 0);
    folder_ = std::make_unique<Folder>(region_, Folder::Start::kFromNow);
    folder_->AddSink(&capture_, 1);
  }
  void TearDown() override {
    StopTimer(static_cast<uint32_t>(index_));
    folder_.reset();
    CloseRegion(&region_);
  }

  siginfo_t Expiry(int overrun) const {
    siginfo_t info{};
    info.si_code = SI_TIMER;
    info.si_overrun = overrun;
    const TimerSlot& slot = TimerAt(static_cast<uint32_t>(index_));
    const TimerCookie cookie{static_cast<uint16_t>(index_), slot.generation.load()};
    info.si_value.sival_ptr = reinterpret_cast<void*>(cookie.Pack());
    return info;
  }

  FoldProfile Collected() {
    folder_->Fold(2'000'000'000);
    return capture_.Collect();
  }

  Region region_;
  RegionOrigin origin_;
  ProcessId process_;
  ThreadId thread_;
  int index_ = -1;
  std::unique_ptr<Folder> folder_;
  Capture capture_{1, 1 << 20};
};

TEST_F(CpuHandlerTest, CountsAnExpiryWithItsOverruns) {
  ucontext_t context{};
  getcontext(&context);
  siginfo_t info = Expiry(1);
  CpuSignalHandler(SIGPROF, &info, &context);
  const FoldProfile profile = Collected();
  ASSERT_EQ(profile.samples.size(), 1u);
  EXPECT_EQ(profile.samples[0].events, 2u);
  EXPECT_EQ(profile.samples[0].amount, 2 * kPeriodNs);
  EXPECT_TRUE(profile.losses.empty());
}

TEST_F(CpuHandlerTest, AThreadThatSpeaksForOthersCountsForThem) {
  ucontext_t context{};
  getcontext(&context);
  TimerAt(static_cast<uint32_t>(index_)).weight.store(7);
  const uint64_t before_ns = CountedCpuNs();
  siginfo_t info = Expiry(1);
  CpuSignalHandler(SIGPROF, &info, &context);
  const FoldProfile profile = Collected();
  ASSERT_EQ(profile.samples.size(), 1u);
  EXPECT_EQ(profile.samples[0].events, 14u);
  EXPECT_EQ(profile.samples[0].amount, 14 * kPeriodNs);
  EXPECT_EQ(CountedCpuNs() - before_ns, 14 * kPeriodNs);
  // What the thread itself was billed for.
  EXPECT_EQ(TimerAt(static_cast<uint32_t>(index_)).fired_ns.load(), 2 * kPeriodNs);
}

TEST_F(CpuHandlerTest, GivesAVeryLongWeightToSignalBlocked) {
  ucontext_t context{};
  getcontext(&context);
  siginfo_t info = Expiry(99);
  CpuSignalHandler(SIGPROF, &info, &context);
  uint64_t blocked_ns = 0;
  uint64_t total_ns = 0;
  for (const FoldSample& sample : Collected().samples) {
    total_ns += sample.amount;
    if (SyntheticFrameName(sample.frames[0]) != nullptr) blocked_ns += sample.amount;
  }
  EXPECT_EQ(total_ns, 100 * kPeriodNs);
  EXPECT_EQ(blocked_ns, 99 * kPeriodNs);
}

TEST_F(CpuHandlerTest, IgnoresASignalOfATimerThatIsGone) {
  ucontext_t context{};
  getcontext(&context);
  siginfo_t info = Expiry(0);
  StopTimer(static_cast<uint32_t>(index_));
  const uint64_t before = StaleCpuSignals();
  CpuSignalHandler(SIGPROF, &info, &context);
  EXPECT_EQ(StaleCpuSignals(), before + 1);
  EXPECT_TRUE(Collected().samples.empty());
}

TEST_F(CpuHandlerTest, HandsASignalOfAnotherOriginOn) {
  ucontext_t context{};
  getcontext(&context);
  siginfo_t info{};
  info.si_code = SI_USER;
  g_foreign = 0;
  CpuSignalHandler(SIGPROF, &info, &context);
  info.si_code = SI_TIMER;  // a timer, but not ours
  CpuSignalHandler(SIGPROF, &info, &context);
  EXPECT_EQ(g_foreign, 2);
  EXPECT_TRUE(Collected().samples.empty());
}

TEST_F(CpuHandlerTest, KeepsErrno) {
  ucontext_t context{};
  getcontext(&context);
  siginfo_t info = Expiry(0);
  errno = 4711;
  CpuSignalHandler(SIGPROF, &info, &context);
  EXPECT_EQ(errno, 4711);
}

// The handler on a painted stack. Sanitizers and unoptimised builds have frames of their own size.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr size_t kStackBytes = 64 << 10;
alignas(64) unsigned char g_stack[kStackBytes];
siginfo_t g_info;
ucontext_t g_interrupted;
ucontext_t g_back;
uintptr_t g_top;

void RunHandler() {
  g_top = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  CpuSignalHandler(SIGPROF, &g_info, &g_interrupted);
}

TEST_F(CpuHandlerTest, NeedsAtMostOneKibibyteOfStack) {
  UnwindTables tables(CpuUnwindTables(), kDefaultUnwindBudgetBytes);
  tables.Refresh();
  getcontext(&g_interrupted);
  g_info = Expiry(0);
  memset(g_stack, 0xA5, sizeof g_stack);
  ucontext_t on_it{};
  getcontext(&on_it);
  on_it.uc_stack.ss_sp = g_stack;
  on_it.uc_stack.ss_size = sizeof g_stack;
  on_it.uc_link = &g_back;
  makecontext(&on_it, RunHandler, 0);
  swapcontext(&g_back, &on_it);
  size_t untouched = 0;
  while (untouched < kStackBytes && g_stack[untouched] == 0xA5) ++untouched;
  const size_t used = g_top - (reinterpret_cast<uintptr_t>(g_stack) + untouched);
  ASSERT_FALSE(Collected().samples.empty());
  RecordProperty("handler_stack_bytes", static_cast<int>(used));
  std::printf("the handler used %zu bytes of stack\n", used);
  EXPECT_GT(used, 100u);
  EXPECT_LE(used, 1024u);
}
#endif

}  // namespace
}  // namespace sonde
