// SPDX-License-Identifier: Apache-2.0
// A handler of the host that interrupts the recording of a block and leaves by siglongjmp, again
// and again: the buffers that the recording had are had again.
#include <gtest/gtest.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

#include "collectors/fold.h"
#include "collectors/heap.h"
#include "collectors/safe/heap_sampler.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

sigjmp_buf g_out;
volatile sig_atomic_t g_recording = 0;
volatile sig_atomic_t g_jumps = 0;

void JumpOutOfRecording(int) {
  if (g_recording == 0) return;
  g_jumps = g_jumps + 1;
  siglongjmp(g_out, 1);
}

class Alarm {
 public:
  Alarm() {
    struct sigaction action = {};
    action.sa_handler = JumpOutOfRecording;
    sigaction(SIGALRM, &action, &before_);
    const itimerval every = {{0, 200}, {0, 200}};
    setitimer(ITIMER_REAL, &every, nullptr);
  }
  ~Alarm() {
    const itimerval never = {};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

 private:
  struct sigaction before_ = {};
};

__attribute__((noinline)) void RecordOne(uint64_t address) {
  RecordBlock(reinterpret_cast<const void*>(address), 100, 1, Kind::kAlloc, ThisHookFrame());
}

// Three times as many jumps as there are buffers.
TEST(Longjmp, OutOfTheRecordingOfBlocksLeavesTheBuffers) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "its runtime holds signals back until the program calls libc";
#endif
  constexpr int kJumps = 200;
  const RegionForTesting region(RegionCounts{.live = 16384});
  std::atomic<uint64_t> interval{1}, clock{0};
  ASSERT_TRUE(SwitchHeapOn({*region, &interval, &clock}, region.process(), region.Thread(100)));
  static volatile uint64_t address = uint64_t{1} << 32;
  {
    const Alarm alarm;
    sigsetjmp(g_out, 1);
    g_recording = 1;
    while (g_jumps < kJumps) {
      address = address + 16;
      RecordOne(address);
      ForgetBlock(reinterpret_cast<const void*>(address));
    }
    g_recording = 0;
  }
  const auto busy = [&] {
    const uint32_t at = static_cast<uint32_t>(Kind::kAlloc) * kDropReasonLimit +
                        static_cast<uint32_t>(DropReason::kScratchBusy);
    return (*region).drops[at].events.Load();
  };
  const uint64_t busy_before = busy();
  for (int i = 0; i < 1000; ++i) {
    address = address + 16;
    RecordOne(address);
    ForgetBlock(reinterpret_cast<const void*>(address));
  }
  EXPECT_EQ(busy(), busy_before) << "buffers are still held by recordings that were left";
  SwitchHeapOff();
}

}  // namespace
}  // namespace sonde
