// SPDX-License-Identifier: Apache-2.0
#include "collectors/task_files.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "collectors/system_calls.h"

namespace sonde {
namespace {

using Kind = WhereItWaits::Kind;

TEST(TaskFiles, EachFormOfSyscallIsRead) {
  EXPECT_EQ(ParseSyscallText("running\n").kind, Kind::kRunning);
  const auto call = ParseSyscallText("202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x7ffc10 0x7f3456\n");
  EXPECT_EQ(call.kind, Kind::kSystemCall);
  EXPECT_EQ(call.number, 202);
  EXPECT_EQ(call.arguments[0], 0x7f00u);
  EXPECT_EQ(call.arguments[2], 2u);
  EXPECT_EQ(call.sp, 0x7ffc10u);
  EXPECT_EQ(call.pc, 0x7f3456u);
  const auto fault = ParseSyscallText("-1 0x7ffc10 0x7f3456\n");
  EXPECT_EQ(fault.kind, Kind::kElsewhere);
  EXPECT_EQ(fault.sp, 0x7ffc10u);
}

TEST(TaskFiles, NonsenseIsDeniedAndNotBelieved) {
  for (const char* text : {"", "\n", "202\n", "202 0x1 0x2", "x y z", "-1\n", "-1 0x1\n",
                           "202 0x1 0x2 0x3 0x4 0x5 0x6 0x7 zz\n"}) {
    EXPECT_EQ(ParseSyscallText(text).kind, Kind::kDenied) << text;
  }
}

TEST(TaskFiles, ANameMayHoldAnything) {
  const TaskStat stat =
      ParseTaskStat("12 (a) S (b) D 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21\n");
  EXPECT_EQ(stat.name, "a) S (b");
  EXPECT_EQ(stat.state, 'D');
  EXPECT_EQ(stat.start_ticks, 777u);
  EXPECT_EQ(ParseTaskStat("no parentheses").state, 0);
}

TEST(TaskFiles, TheOwnThreadIsListedWithItsNameAndTime) {
  const TaskFiles files;
  const int tid = static_cast<int>(syscall(SYS_gettid));
  const auto tids = files.Tids();
  EXPECT_NE(std::find(tids.begin(), tids.end(), tid), tids.end());
  EXPECT_EQ(files.Stat(tid).state, 'R');
  EXPECT_EQ(files.Stat(tid).name.substr(0, 9), "detectors");
  uint64_t ns = 0;
  EXPECT_TRUE(files.CpuTime(tid, &ns));
  EXPECT_EQ(TaskFiles::Watch(files, tid).Look().number, SYS_pread64);  // it is reading this
  EXPECT_EQ(TaskFiles::Watch(files, 1 << 30).Look().kind, Kind::kGone);
}

TEST(SystemCalls, HaveTheNamesOfTheKernel) {
  EXPECT_EQ(SystemCallName(SYS_futex), "futex");
  EXPECT_EQ(SystemCallName(SYS_epoll_wait), "epoll_wait");
  EXPECT_EQ(SystemCallName(9999), "system call 9999");
}

}  // namespace
}  // namespace sonde
