// SPDX-License-Identifier: Apache-2.0
// The tables in processes that gave something up: each test forks a child that confines itself and
// says by its exit status how far it came.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "collectors/unwind_tables.h"

namespace sonde {
namespace {

enum Step : int { kGood, kNotPermitted, kFirstRefresh, kConfined, kSecondRefresh, kNotCovered };
constexpr uid_t kNobody = 65534;

int RunInChild(int (*body)()) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(body());
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

bool LeaveForEmptyRoot() {
  char path[] = "/tmp/sonde_empty_XXXXXX";
  if (mkdtemp(path) == nullptr) return false;
  if (chdir(path) != 0 || rmdir(path) != 0) return false;
  return chroot(".") == 0 || (unshare(CLONE_NEWUSER) == 0 && chroot(".") == 0);
}

bool CoversPlugin(UnwindPublication& publication, const void* function) {
  const UnwindPublication::Reader reader(publication);
  const UnwindModule* module = reader.index()->Find(reinterpret_cast<uintptr_t>(function));
  return module != nullptr && module->rows != nullptr;
}

// Starts the tables, confines the process, loads a plug-in through a descriptor from before.
int LoadsAfter(bool (*confine)()) {
  const int fd = open(SONDE_TEST_PLUGIN, O_RDONLY | O_CLOEXEC);
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  if (!tables.Refresh()) return kFirstRefresh;
  void* const before = dlopen(("/proc/self/fd/" + std::to_string(fd)).c_str(), RTLD_NOW);
  if (before == nullptr || !confine()) return kNotPermitted;
  if (!tables.Refresh()) return kSecondRefresh;
  return CoversPlugin(publication, dlsym(before, "PluginAnswer")) ? kGood : kNotCovered;
}

#define EXPECT_GOOD_OR_SKIP(step)                                        \
  do {                                                                   \
    const int got = (step);                                              \
    if (got == kNotPermitted) GTEST_SKIP() << "cannot be confined here"; \
    EXPECT_EQ(got, kGood);                                               \
  } while (false)

TEST(UnwindConfined, NewObjectsAreCoveredAfterChrootToAnEmptyDirectory) {
  EXPECT_GOOD_OR_SKIP(RunInChild([] { return LoadsAfter(LeaveForEmptyRoot); }));
}

TEST(UnwindConfined, NewObjectsAreCoveredInAnUndumpableProcess) {
  EXPECT_GOOD_OR_SKIP(
      RunInChild([] { return LoadsAfter([] { return prctl(PR_SET_DUMPABLE, 0) == 0; }); }));
}

TEST(UnwindConfined, NewObjectsAreCoveredAfterPrivilegesAreGone) {
  EXPECT_GOOD_OR_SKIP(RunInChild(
      [] { return LoadsAfter([] { return setgid(kNobody) == 0 && setuid(kNobody) == 0; }); }));
}

TEST(UnwindConfined, WithoutProcNothingIsCoveredAndTheStatusSaysSo) {
  EXPECT_GOOD_OR_SKIP(RunInChild([]() -> int {
    if (!LeaveForEmptyRoot()) return kNotPermitted;
    UnwindPublication publication;
    UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
    for (int i = 0; i < 3; ++i) {
      if (tables.Refresh()) return kFirstRefresh;
    }
    const UnwindStatus status = tables.Status();
    const bool said = status.problem != nullptr && strstr(status.problem, "/proc/self/maps");
    return said && status.modules.empty() && status.failures == 3 ? kGood : kNotCovered;
  }));
}

bool CannotOpenMemory() {
  return setgid(kNobody) == 0 && setuid(kNobody) == 0 &&
         open("/proc/self/mem", O_RDONLY | O_CLOEXEC) < 0;
}

// Undumpable and without privileges from the start.
TEST(UnwindConfined, WithoutTheMemoryFileObjectsAreCoveredThroughAPipe) {
  EXPECT_GOOD_OR_SKIP(RunInChild([]() -> int {
    if (!CannotOpenMemory()) return kNotPermitted;
    UnwindPublication publication;
    UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
    if (!tables.Refresh()) return kFirstRefresh;
    if (tables.Status().problem != nullptr) return kSecondRefresh;
    return CoversPlugin(publication, reinterpret_cast<void*>(&qsort)) ? kGood : kNotCovered;
  }));
}

// The last free descriptor goes to the map.
TEST(UnwindConfined, WithoutMemoryCodeIsKnownButHasNoTables) {
  EXPECT_GOOD_OR_SKIP(RunInChild([]() -> int {
    if (!CannotOpenMemory()) return kNotPermitted;
    const int lowest_free = dup(0);
    close(lowest_free);
    const auto last = static_cast<rlim_t>(lowest_free) + 1;
    const rlimit limit{last, last};
    if (lowest_free < 0 || setrlimit(RLIMIT_NOFILE, &limit) != 0) return kNotPermitted;
    UnwindPublication publication;
    UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
    if (!tables.Refresh()) return kFirstRefresh;
    const UnwindStatus status = tables.Status();
    const bool said = status.problem != nullptr && strstr(status.problem, "/proc/self/mem");
    const UnwindPublication::Reader reader(publication);
    const auto* module = reader.index()->Find(reinterpret_cast<uintptr_t>(&qsort));
    const bool known = module != nullptr && module->rows == nullptr;
    return said && known && status.modules.empty() ? kGood : kNotCovered;
  }));
}

TEST(UnwindConfined, WithoutFreeDescriptorsTheTablesComeWhenThereAreSome) {
  EXPECT_GOOD_OR_SKIP(RunInChild([]() -> int {
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kNotPermitted;
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 0;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return kNotPermitted;
    UnwindPublication publication;
    UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
    if (tables.Refresh() || tables.Status().problem == nullptr) return kFirstRefresh;
    limit.rlim_cur = before;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return kNotPermitted;
    return tables.Refresh() && tables.Status().problem == nullptr ? kGood : kSecondRefresh;
  }));
}

}  // namespace
}  // namespace sonde
