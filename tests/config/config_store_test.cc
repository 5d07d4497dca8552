// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace sonde {
namespace {

class ConfigStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/sonde-config-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    path_ = directory_ + "/sonde.conf";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& text) { std::ofstream(path_, std::ios::trunc) << text; }
  ConfigStore& Open(std::initializer_list<const char*> more = {}) {
    const std::string config = "SONDE_CONFIG=" + path_;
    std::vector<const char*> envp = {config.c_str()};
    envp.insert(envp.end(), more);
    envp.push_back(nullptr);
    Environment environment;
    ParseEnvironment(envp.data(), &environment);
    store_ = std::make_unique<ConfigStore>(environment);
    return *store_;
  }
  // A second later.
  void Tick() { store_->Tick(now_ms_ += ConfigStore::kFileCheckMs); }
  std::string Apply(const char* name, const char* value, int64_t for_ms = 0) {
    const ConfigChange change[] = {{name, value}};
    return store_->Apply(change, for_ms, now_ms_);
  }

  std::string directory_;
  std::string path_;
  std::unique_ptr<ConfigStore> store_;
  int64_t now_ms_ = 1000000;
};

TEST_F(ConfigStoreTest, LaterLayersHideEarlierOnesUntilTheyAreGone) {
  Write("cpu_hz = 60\n");
  ConfigStore& store = Open({"SONDE_CPU_HZ=50"});
  const Setting& hz = *FindSetting("cpu_hz");
  EXPECT_EQ(store.current().cpu_hz, 60);
  EXPECT_EQ(Apply("cpu_hz", "70", 5000), "");
  EXPECT_EQ(store.current().cpu_hz, 70);
  EXPECT_EQ(store.source(hz), ConfigStore::Source::kRequest);
  EXPECT_EQ(store.remaining_ms(hz, now_ms_), 5000);
  now_ms_ += 4000;
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 60) << "the request has run out";
  EXPECT_EQ(store.source(hz), ConfigStore::Source::kFile);
  Write("# nothing\n");
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 50);
  EXPECT_EQ(store.source(hz), ConfigStore::Source::kEnvironment);
}

TEST_F(ConfigStoreTest, AnInvalidLineIsReportedAndTheFormerValueKept) {
  Write("cpu_hz = 60\n");
  ConfigStore& store = Open();
  Write("\n# comment\ncpu_hz = many\ncpuhz = 3\nno equals sign\nSONDE_MAX_CAPTURES = 2\n");
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 60);
  EXPECT_EQ(store.current().max_captures, 2) << "good lines count beside bad ones";
  EXPECT_EQ(
      store.problems(),
      "SONDE_CONFIG line 3: SONDE_CPU_HZ = many: expected an integer from 1 to 1000 (samples per "
      "second of CPU time); \"60\" stays in force\n"
      "SONDE_CONFIG line 4: cpuhz: no such setting; did you mean SONDE_CPU_HZ?\n"
      "SONDE_CONFIG line 5: no equals sign: expected name = value\n");
  Write("cpu_hz = 61\n");
  Tick();
  EXPECT_EQ(store.problems(), "");
  EXPECT_EQ(store.current().cpu_hz, 61);
}

TEST_F(ConfigStoreTest, AConfigMapsSymlinkSwapIsNoticed) {
  for (const char* version : {"v1", "v2"}) {
    std::filesystem::create_directory(directory_ + "/" + version);
    std::ofstream(directory_ + "/" + version + "/sonde.conf")
        << (std::strcmp(version, "v1") == 0 ? "cpu_hz = 11\n" : "cpu_hz = 22\n");
  }
  std::filesystem::create_symlink("v1", directory_ + "/..data");
  std::filesystem::create_symlink("..data/sonde.conf", path_);
  ConfigStore& store = Open();
  EXPECT_EQ(store.current().cpu_hz, 11);
  std::filesystem::create_symlink("v2", directory_ + "/..data_tmp");
  std::filesystem::rename(directory_ + "/..data_tmp", directory_ + "/..data");
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 22);
}

// Same inode and size, and the mark's time may be of the same clock tick as our read.
TEST_F(ConfigStoreTest, ARewriteInTheSameInstantIsNoticed) {
  Write("cpu_hz = 11\n");
  ConfigStore& store = Open();
  struct stat info = {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  Write("cpu_hz = 22\n");
  const timespec times[] = {info.st_atim, info.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 22);
}

TEST_F(ConfigStoreTest, AnUnchangedFileDoesNotChangeTheGeneration) {
  Write("cpu_hz = 11\n");
  ConfigStore& store = Open();
  const uint64_t generation = store.generation();
  for (int i = 0; i < 5; ++i) Tick();
  EXPECT_EQ(store.generation(), generation);
  Write("cpu_hz = 12\n");
  Tick();
  EXPECT_EQ(store.generation(), generation + 1);
}

TEST_F(ConfigStoreTest, AFileThatVanishesOrGrowsTooLargeKeepsItsValues) {
  Write("cpu_hz = 11\n");
  ConfigStore& store = Open();
  std::filesystem::remove(path_);
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 11);
  EXPECT_NE(store.problems().find("no such file"), std::string::npos) << store.problems();
  Write("cpu_hz = 12\n" + std::string(ConfigStore::kMaxFileBytes, '#'));
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 11);
  EXPECT_NE(store.problems().find("too large"), std::string::npos);
  Write("cpu_hz = 13\n");
  Tick();
  EXPECT_EQ(store.current().cpu_hz, 13);
}

TEST_F(ConfigStoreTest, SettingsOfTheStartAreTakenFromTheFileOnlyThen) {
  Write("listen = 127.0.0.1:1111\nconfig = /elsewhere\n");
  ConfigStore& store = Open();
  EXPECT_EQ(store.current().listen.view(), "127.0.0.1:1111");
  EXPECT_EQ(store.problems(),
            "SONDE_CONFIG line 2: SONDE_CONFIG: can be given only in the environment\n");
  Write("listen = 127.0.0.1:2222\n");
  Tick();
  EXPECT_EQ(store.current().listen.view(), "127.0.0.1:1111");
  EXPECT_EQ(store.problems(),
            "SONDE_CONFIG line 1: SONDE_LISTEN: takes effect when the service is started again\n");
}

TEST_F(ConfigStoreTest, ARequestIsAppliedAsAWholeOrNotAtAll) {
  ConfigStore& store = Open();
  const ConfigChange changes[] = {
      {"cpu_hz", "7"}, {"listen", "127.0.0.1:1"}, {"nonsense_name", "1"}, {"cpu", "?"}};
  const std::string refused = store.Apply(changes, 0, now_ms_);
  EXPECT_EQ(std::count(refused.begin(), refused.end(), '\n'), 3) << refused;
  EXPECT_NE(refused.find("SONDE_LISTEN: cannot be changed while the service runs"),
            std::string::npos);
  EXPECT_EQ(store.current().cpu_hz, 100);
}

TEST_F(ConfigStoreTest, WhatRequestsSetOutlivesTheStoreWhereItIsKept) {
  ConfigRequests kept{};
  const char* const envp[] = {"SONDE_CPU_HZ=50", nullptr};
  Environment environment;
  ParseEnvironment(envp, &environment);
  {
    ConfigStore store(environment, &kept);
    const ConfigChange for_ever[] = {{"cpu_hz", "7"}};
    const ConfigChange for_a_while[] = {{"heap", "off"}};
    EXPECT_EQ(store.Apply(for_ever, 0, now_ms_), "");
    EXPECT_EQ(store.Apply(for_a_while, 5000, now_ms_), "");
  }
  ConfigStore next(environment, &kept);
  EXPECT_EQ(next.current().cpu_hz, 7);
  EXPECT_FALSE(next.current().heap);
  EXPECT_EQ(next.source(*FindSetting("heap")), ConfigStore::Source::kRequest);
  EXPECT_EQ(next.remaining_ms(*FindSetting("heap"), now_ms_ + 2000), 3000);
  next.Tick(now_ms_ + 5000);
  EXPECT_TRUE(next.current().heap);
  next.Forget(*FindSetting("cpu_hz"));
  ConfigStore last(environment, &kept);
  EXPECT_EQ(last.current().cpu_hz, 50);
  EXPECT_TRUE(last.current().heap);
}

TEST_F(ConfigStoreTest, AForgottenRequestShowsWhatIsBelow) {
  ConfigStore& store = Open({"SONDE_ENABLE=off"});
  EXPECT_EQ(Apply("enable", "on"), "");
  EXPECT_TRUE(store.current().enable);
  store.Forget(*FindSetting("enable"));
  EXPECT_FALSE(store.current().enable);
}

}  // namespace
}  // namespace sonde
