// SPDX-License-Identifier: Apache-2.0
// Names of threads that name themselves late.
#include "collectors/host_threads.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <semaphore>
#include <string>
#include <thread>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

class HostThreadsTest : public testing::Test {
 protected:
  // A thread that takes one name after another, each when it is told to.
  void NameItself() {
    tid_ = sys::Gettid();
    known_.release();
    for (const char* name : {"first", "second"}) {
      next_.acquire();
      prctl(PR_SET_NAME, name);
      known_.release();
    }
    next_.acquire();
  }
  void Next() {
    next_.release();
    known_.acquire();
  }
  std::string NameOf(uint64_t now_ns) {
    threads_.Refresh(now_ns);
    const auto known = threads_.threads().find(tid_);
    return known != threads_.threads().end() ? known->second.name : "(none)";
  }

  std::binary_semaphore known_{0};
  std::binary_semaphore next_{0};
  std::atomic<int> tid_{0};
  HostThreads threads_{0};
};

TEST_F(HostThreadsTest, WhoNamedItselfAndThenWaitsHasItsLastName) {
  std::thread thread([this] { NameItself(); });
  known_.acquire();
  EXPECT_NE(NameOf(kSecondNs), "(none)");
  Next();
  EXPECT_EQ(NameOf(2 * kSecondNs), "first")
      << "who has run after the first look may just have named itself";
  Next();
  EXPECT_EQ(NameOf(3 * kSecondNs), "first") << "names are not read each time";
  EXPECT_EQ(NameOf(13 * kSecondNs), "second")
      << "it has not run since, but after its name was read";
  next_.release();
  thread.join();
}

TEST_F(HostThreadsTest, TellsTheSystemCallThatAThreadWaitsIn) {
  std::thread thread([this] { NameItself(); });
  known_.acquire();
  int call = HostThreads::kNoCall;
  for (int i = 0; i < 1000 && call != SYS_futex; ++i) {
    call = threads_.WaitsInCall(tid_);
    usleep(1000);
  }
  EXPECT_EQ(call, SYS_futex);
  EXPECT_EQ(threads_.WaitsInCall(sys::Gettid()), SYS_read);  // of that very file
  Next();
  Next();
  next_.release();
  thread.join();
  EXPECT_EQ(threads_.WaitsInCall(tid_), HostThreads::kCallUnknown);
}

}  // namespace
}  // namespace sonde
