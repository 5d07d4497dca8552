// SPDX-License-Identifier: Apache-2.0
// Objects that come, go and take each other's place while the tables are kept up to date; and that
// keeping them takes no lock of the loader.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "collectors/safe/unwind.h"
#include "collectors/unwind_tables.h"
#include "collectors/unwind_tables_link_map.h"

namespace sonde {
namespace {

const UnwindModuleStatus* FindModule(const UnwindStatus& status, const std::string& part) {
  const auto found =
      std::find_if(status.modules.begin(), status.modules.end(),
                   [&](const auto& module) { return module.name.find(part) != std::string::npos; });
  return found == status.modules.end() ? nullptr : &*found;
}

// The unwind row in force a few bytes into `function`, after its prologue.
UnwindRow RowIn(UnwindPublication& publication, const void* function) {
  const auto pc = reinterpret_cast<uintptr_t>(function) + 24;
  const UnwindPublication::Reader reader(publication);
  const UnwindModule* module = reader.index()->Find(pc);
  return module == nullptr || module->rows == nullptr ? 0 : module->Find(pc);
}

class Plugin {
 public:
  explicit Plugin(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW)) {}
  ~Plugin() { Close(); }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  void Close() {
    if (handle_ != nullptr) dlclose(handle_);
    handle_ = nullptr;
  }
  bool ok() const { return handle_ != nullptr; }
  const void* Answer() const { return dlsym(handle_, "PluginAnswer"); }

 private:
  void* handle_;
};

class TemporaryDirectory {
 public:
  TemporaryDirectory() { ok_ = mkdtemp(path_) != nullptr; }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  bool ok() const { return ok_; }
  std::string File(const char* name) const { return std::string(path_) + "/" + name; }

 private:
  char path_[32] = "/tmp/sonde_unwind_XXXXXX";
  bool ok_;
};

// As a service that loads a new build of a plug-in from the same path: place, name and the loader's
// entry for it can all be the same.
TEST(UnwindScan, AnotherObjectAtTheSamePlaceUnderTheSameNameIsNoticed) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(directory.ok());
  const std::string path = directory.File("plugin.so");
  std::filesystem::copy_file(SONDE_TEST_PLUGIN, path);
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  Plugin first(path);
  ASSERT_TRUE(first.ok()) << dlerror();
  const void* const first_answer = first.Answer();
  ASSERT_TRUE(tables.Refresh());
  const UnwindRow first_row = RowIn(publication, first_answer);
  first.Close();
  std::filesystem::remove(path);
  std::filesystem::copy_file(SONDE_TEST_OTHER_PLUGIN, path);
  Plugin second(path);
  ASSERT_TRUE(second.ok()) << dlerror();
  if (second.Answer() != first_answer) GTEST_SKIP() << "the loader chose another place";
  EXPECT_TRUE(tables.Refresh());
  const UnwindRow second_row = RowIn(publication, first_answer);
  EXPECT_NE(first_row, 0u);
  EXPECT_NE(second_row, 0u);
  EXPECT_NE(first_row, second_row);
}

// The loader's list says nothing here: only the object's own bytes do.
TEST(UnwindScan, AnObjectThatWasMappedOverIsNoticed) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  const Plugin plugin(SONDE_TEST_PLUGIN);
  ASSERT_TRUE(plugin.ok()) << dlerror();
  tables.Refresh();
  const UnwindModuleStatus module = *FindModule(tables.Status(), "unwind_test_plugin");
  void* const start = reinterpret_cast<void*>(module.base);
  alignas(4096) static char saved[4096];
  memcpy(saved, start, sizeof(saved));
  ASSERT_EQ(
      mmap(start, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
      start);
  EXPECT_TRUE(tables.Refresh());
  EXPECT_EQ(FindModule(tables.Status(), "unwind_test_plugin"), nullptr);
  memcpy(start, saved, sizeof(saved));
}

TEST(UnwindScan, AnObjectOfAnotherNamespaceIsCovered) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  tables.Refresh();
  void* const plugin = dlmopen(LM_ID_NEWLM, SONDE_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << dlerror();
  publication.NoteUnknownPc();  // glibc before 2.35 does not list namespaces
  EXPECT_TRUE(tables.Refresh());
  EXPECT_NE(RowIn(publication, dlsym(plugin, "PluginAnswer")), 0u);
  dlclose(plugin);
}

// Services copy their code to huge pages: what is executable then is no file's any more.
TEST(UnwindScan, AnObjectWhoseCodeWasMovedToAnonymousMemoryIsCovered) {
  const Plugin plugin(SONDE_TEST_PLUGIN);
  ASSERT_TRUE(plugin.ok()) << dlerror();
  const auto pc = reinterpret_cast<uintptr_t>(plugin.Answer());
  void* const page = reinterpret_cast<void*>(pc & ~uintptr_t{4095});
  alignas(4096) static char saved[4096];
  memcpy(saved, page, sizeof(saved));
  constexpr int kAll = PROT_READ | PROT_WRITE | PROT_EXEC;
  ASSERT_EQ(mmap(page, 4096, kAll, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), page);
  memcpy(page, saved, sizeof(saved));
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  ASSERT_TRUE(tables.Refresh());
  EXPECT_NE(RowIn(publication, plugin.Answer()), 0u);
  EXPECT_EQ(tables.Status().other_code_ranges, 0u);
}

TEST(UnwindScan, AFileThatIsOnlyReadIsNoObject) {
  const int fd = open(SONDE_TEST_PLUGIN, O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  struct stat status;
  ASSERT_EQ(fstat(fd, &status), 0);
  const auto size = static_cast<size_t>(status.st_size);
  void* const data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  ASSERT_NE(data, MAP_FAILED);
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  tables.Refresh();
  EXPECT_EQ(FindModule(tables.Status(), "unwind_test_plugin"), nullptr);
  munmap(data, size);
}

// Code without objects, and a flag that never stops: walks through JIT code of another maker.
TEST(UnwindScan, AFlagThatKeepsComingInVainIsLookedIntoLessAndLess) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  tables.Refresh();
  const uint64_t before = tables.Status().scans;
  for (int second = 0; second < 600; ++second) {
    publication.NoteUnknownPc();
    tables.Refresh();
  }
  // 1 + 2 + 4 + … + 32 = 63 seconds, then one a minute.
  EXPECT_GE(tables.Status().scans - before, 12u);
  EXPECT_LE(tables.Status().scans - before, 18u);
}

TEST(UnwindScan, AListThatLoopsOrEndsInNothingIsReadToAnEnd) {
  // The loader's own list, bent for a moment; nothing else runs in this test program.
  const ProcessMemory memory;
  link_map* const last = [] {
    link_map* node = _r_debug.r_map;
    while (node->l_next != nullptr) node = node->l_next;
    return node;
  }();
  const uint64_t right = ReadLinkMaps(memory, nullptr);
  EXPECT_EQ(ReadLinkMaps(memory, nullptr), right);
  for (link_map* bend :
       {_r_debug.r_map, _r_debug.r_map->l_next, last, reinterpret_cast<link_map*>(8)}) {
    last->l_next = bend;
    const uint64_t bent = ReadLinkMaps(memory, nullptr);
    last->l_next = nullptr;
    EXPECT_NE(bent, right);
  }
}

// fork copies locks as they are. A child that waits for one which nobody holds is ended by alarm.
TEST(UnwindScan, AChildForkedDuringAScanCanUseTheLoader) {
  constexpr int kChildren = 400, kMost = 4000;
  std::atomic<bool> stop{false};
  std::atomic<int> scans{0};
  std::thread scanner([&] {
    while (!stop) {
      UnwindPublication publication;
      UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
      tables.Refresh();
      scans.fetch_add(1);
    }
  });
  while (scans == 0) std::this_thread::yield();
  int good = 0, children = 0;
  // Where everything is slow (TSan) more children, until there were scans enough beside them.
  for (bool alive = true; alive && (children < kChildren || (scans <= 10 && children < kMost));
       ++children) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(5);
      _exit(dlopen(SONDE_TEST_PLUGIN, RTLD_NOW) != nullptr ? 0 : 1);
    }
    int status = 0;
    alive = waitpid(child, &status, 0) == child && status == 0;
    good += alive ? 1 : 0;
  }
  stop = true;
  scanner.join();
  EXPECT_EQ(good, children);
  EXPECT_GT(scans, 10);
}

// Objects come and go under the scan's feet: what is read may be old, but nothing may fault, and in
// the end the tables are right.
TEST(UnwindScan, LoadsAndUnloadsDuringScansDoNoHarm) {
  std::atomic<bool> stop{false};
  std::atomic<int> loads{0};
  std::thread loader([&] {
    for (; !stop; loads.fetch_add(1)) {
      const Plugin one(SONDE_TEST_PLUGIN);
      const Plugin other(SONDE_TEST_OTHER_PLUGIN);
    }
  });
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  for (int i = 0; i < 2000 || loads < 100; ++i) tables.Refresh();
  stop = true;
  loader.join();
  // A scan may have met an object on its way in that was never in the loader's list.
  for (size_t i = 0; i <= tables.Status().modules.size(); ++i) tables.Refresh();
  EXPECT_EQ(FindModule(tables.Status(), "plugin"), nullptr);
  const Plugin plugin(SONDE_TEST_PLUGIN);
  EXPECT_TRUE(tables.Refresh());
  EXPECT_NE(RowIn(publication, plugin.Answer()), 0u);
}

}  // namespace
}  // namespace sonde
