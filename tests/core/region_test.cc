// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/region.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "collectors/fold.h"
#include "collectors/fold_recorder.h"
#include "collectors/past.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/region_mappings.h"
#include "collectors/snapshot.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

TEST(Region, FitsItsBudgetAndUsesMostOfIt) {
  for (uint64_t budget = kMinRegionBytes; budget <= kMaxRegionBytes; budget += budget / 3) {
    const uint64_t bytes = RegionBytes(CountsForBudget(budget));
    EXPECT_LE(bytes, budget);
    EXPECT_GE(bytes, budget / 10 * 9);
  }
  EXPECT_GE(CountsForBudget(kDefaultRegionBytes).stacks, 8192u);
}

class RegionInDirectory : public testing::Test {
 protected:
  RegionInDirectory() {
    char name[] = "/tmp/sonde_region_test_XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~RegionInDirectory() override { std::filesystem::remove_all(directory_); }
  size_t Files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }

  std::string directory_;
  Region region_;
  RegionOrigin origin_;
};

TEST_F(RegionInDirectory, IsAPrivateFileThatOutlivesItsMapping) {
  ASSERT_TRUE(CreateRegion({.directory = directory_.c_str()}, &region_, &origin_));
  ASSERT_TRUE(origin_.in_file) << origin_.error.c_str();
  EXPECT_EQ(Files(), 1u);
  struct stat status = {};
  ASSERT_EQ(stat(origin_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(static_cast<uint64_t>(status.st_blocks) * 512, region_.header->total_bytes);
  const ProcessId self = ClaimProcess(region_, getpid(), 1, {}, 1);
  const ThreadId thread = ClaimThread(region_, self, getpid(), 1);
  SetThreadName(region_, thread, "a thread's name!");
  const uint64_t frames[2] = {0x1000, 0x2000};
  ASSERT_EQ(RecordStack(region_, {frames, 2, 3}, thread, Kind::kCpu, 4, 40), DropReason::kNone);
  EXPECT_TRUE(StoreMappings(region_, "old\n", 4));
  EXPECT_TRUE(StoreMappings(region_, "1000-2000 r-xp /bin/x\n", 22));
  CloseRegion(&region_);

  std::ifstream file(origin_.path.c_str(), std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  std::string error;
  RegionImage image;
  ASSERT_TRUE(image.Load(bytes.data(), bytes.size(), &error)) << error;
  const Snapshot snapshot = ReadSnapshot(image.region());
  EXPECT_EQ(snapshot.mappings, "1000-2000 r-xp /bin/x\n");
  EXPECT_EQ(snapshot.host_pid, getpid());
  ASSERT_EQ(snapshot.profile.samples.size(), 1u);
  const FoldSample& sample = snapshot.profile.samples[0];
  EXPECT_EQ(sample.frames, (std::vector<uint64_t>{0x1000, 0x2000}));
  EXPECT_EQ(sample.flags, 3);
  EXPECT_EQ(sample.events, 4u);
  EXPECT_EQ(sample.amount, 40u);
  EXPECT_STREQ(sample.thread.name, "a thread's name!");
}

TEST_F(RegionInDirectory, IsAnonymousWhenTheDirectoryDoesNotWork) {
  const std::string missing = directory_ + "/missing";
  ASSERT_TRUE(CreateRegion({.directory = missing.c_str()}, &region_, &origin_));
  EXPECT_FALSE(origin_.in_file);
  EXPECT_NE(std::string(origin_.error.c_str()).find(missing), std::string::npos);
  EXPECT_NE(std::string(origin_.error.c_str()).find("open failed with errno 2"), std::string::npos)
      << origin_.error.c_str();
  CloseRegion(&region_);
}

TEST_F(RegionInDirectory, DoesNotFollowALinkThatWaitsUnderItsName) {
  ASSERT_TRUE(CreateRegion({.directory = directory_.c_str()}, &region_, &origin_));
  const std::string path = origin_.path.c_str();
  CloseRegion(&region_);
  const size_t slash = path.rfind('/') + 1;
  const std::string temporary = path.substr(0, slash) + "." + path.substr(slash) + ".tmp";
  ASSERT_EQ(symlink("/tmp/sonde_region_test_target", temporary.c_str()), 0);
  RegionOrigin second;
  ASSERT_TRUE(CreateRegion({.directory = directory_.c_str()}, &region_, &second));
  EXPECT_FALSE(second.in_file);
  EXPECT_FALSE(std::filesystem::exists("/tmp/sonde_region_test_target"));
  CloseRegion(&region_);
}

TEST(RegionClock, StartTicksOfThisProcessAreThoseOfTheKernel) {
  std::ifstream stat("/proc/self/stat");
  std::string word;
  for (int i = 0; i < 22; ++i) stat >> word;
  EXPECT_EQ(std::to_string(StartTicksOf(getpid())), word);
  EXPECT_EQ(StartTicksOf(-1), 0u);
}

TEST(Mappings, AreCutAfterAWholeLine) {
  RegionForTesting region;
  std::string text;
  while (text.size() < 70000) text += "a line of mappings\n";
  EXPECT_FALSE(StoreMappings(*region, text.data(), text.size()));
  std::string read(65536, '\0');
  read.resize(LoadMappings(*region, read.data(), 65536));
  EXPECT_GT(read.size(), 65500u);
  EXPECT_EQ(read, text.substr(0, read.size()));
  EXPECT_EQ(read.back(), '\n');
}

// Small, so that mutations hit.
class HostileRegion : public testing::Test {
 protected:
  HostileRegion() {
    const ThreadId thread = region_.Thread(5);
    for (uint64_t i = 1; i <= 40; ++i)
      region_.Record(thread, i, 1, 1, static_cast<uint32_t>(1 + i * 3 % 60));
    StoreMappings(*region_, "text\n", 5);
    const Coverage coverage(0);
    Folder folder(*region_, Folder::Start::kFromEmpty);
    Recorder recorder(*region_, &coverage, 1);
    folder.AddSink(&recorder, 2);
    for (uint64_t second = 1; second <= 25; ++second) {
      region_.Record(thread, 3, 1, 1, 4);
      folder.Fold(second * 1'000'000'000);
    }
    const char* start = static_cast<const char*>(region_.memory());
    bytes_.assign(start, start + region_.bytes());
  }
  bool Read(const std::vector<char>& bytes, size_t size) {
    RegionImage image;
    if (!image.Load(bytes.data(), size, &error_)) return false;
    snapshot_ = ReadSnapshot(image.region());
    past_ = ReadPast(image.region(), 0, UINT64_MAX, 1 << 20);
    return true;
  }

  RegionForTesting region_{{.stacks = 64,
                            .chunks = 256,
                            .cells = 64,
                            .threads = 8,
                            .processes = 8,
                            .mappings_bytes = 64,
                            .ring_bytes = 4096,
                            .open_step_bytes = 1024}};
  std::vector<char> bytes_;
  Snapshot snapshot_;
  Past past_;
  std::string error_;
};

TEST_F(HostileRegion, IsReadWhenItIsWhole) {
  ASSERT_TRUE(Read(bytes_, bytes_.size())) << error_;
  EXPECT_EQ(snapshot_.profile.samples.size(), 41u);
  ASSERT_EQ(past_.pieces.size(), 1u);
  uint64_t events = 0;
  for (const FoldSample& sample : past_.pieces[0].samples) events += sample.events;
  for (const FoldLoss& loss : past_.pieces[0].losses) events += loss.events;
  EXPECT_EQ(events, 25u);
  EXPECT_EQ(past_.damaged, 0u);
}

TEST_F(HostileRegion, IsRefusedAtEveryShorterLength) {
  for (size_t size = 0; size < bytes_.size(); size += size < 4096 ? 1 : 97) {
    EXPECT_FALSE(
        Read(std::vector<char>(bytes_.begin(), bytes_.begin() + static_cast<long>(size)), size));
    EXPECT_NE(error_.find("cut off"), std::string::npos) << error_;
  }
}

TEST_F(HostileRegion, OfAnotherVersionIsRefusedByNumber) {
  reinterpret_cast<RegionHeader*>(bytes_.data())->version = 99;
  EXPECT_FALSE(Read(bytes_, bytes_.size()));
  EXPECT_EQ(error_, "region has version 99, expected 3: it was written by a newer agent");
}

TEST_F(HostileRegion, WithFlippedBitsNeverCrashesTheReader) {
  std::mt19937_64 random(7);
  int refused = 0;
  int damaged = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> broken = bytes_;
    // Half of the flips hit the header, where they do most.
    for (uint64_t flips = 1 + random() % 8; flips > 0; --flips) {
      const size_t at = random() % (random() % 2 != 0 ? sizeof(RegionHeader) : broken.size());
      broken[at] = static_cast<char>(broken[at] ^ 1 << random() % 8);
    }
    refused += !Read(broken, broken.size());
    for (const FoldSample& sample : snapshot_.profile.samples)
      ASSERT_LE(sample.frames.size(), kMaxDepth);
    damaged += past_.damaged != 0;
  }
  EXPECT_GT(damaged, 50) << "the ring was not hit";
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 19'000);
}

}  // namespace
}  // namespace sonde
