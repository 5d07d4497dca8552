// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "collectors/memory_page_cgroup.h"

namespace sonde {
namespace {

constexpr const char* kMountsOfVersion1 =
    "31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:10 - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:11 - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:12 - cgroup2 cgroup2 rw\n";

TEST(FindMemoryCgroup, Version2InTheServicesOwnNamespace) {
  const auto place =
      FindMemoryCgroup("0::/\n", "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->version, 2);
  EXPECT_EQ(place->directory, "/sys/fs/cgroup");
}

TEST(FindMemoryCgroup, Version2OfTheHost) {
  const auto place = FindMemoryCgroup("0::/system.slice/redis.service\n",
                                      "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->directory, "/sys/fs/cgroup/system.slice/redis.service");
}

TEST(FindMemoryCgroup, Version1WinsWhereBothAreMounted) {
  const auto place =
      FindMemoryCgroup("4:memory:/docker/abc\n1:cpu,cpuacct:/other\n0::/\n", kMountsOfVersion1);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->version, 1);
  EXPECT_EQ(place->directory, "/sys/fs/cgroup/memory/docker/abc");
}

// Without a cgroup namespace the path is the host's, and what is mounted is its own part of it.
TEST(FindMemoryCgroup, OnlyThePartBelowTheMountsRootIsThere) {
  const char* mounts =
      "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n";
  EXPECT_EQ(FindMemoryCgroup("4:memory:/docker/abc\n", mounts)->directory, "/sys/fs/cgroup/memory");
  EXPECT_EQ(FindMemoryCgroup("4:memory:/docker/abc/in\n", mounts)->directory,
            "/sys/fs/cgroup/memory/in");
  EXPECT_EQ(FindMemoryCgroup("4:memory:/elsewhere\n", mounts)->directory, "/sys/fs/cgroup/memory");
  EXPECT_EQ(FindMemoryCgroup("4:memory:/docker/abc/../x\n", mounts)->directory,
            "/sys/fs/cgroup/memory");
}

TEST(FindMemoryCgroup, NothingWithoutTheController) {
  EXPECT_FALSE(FindMemoryCgroup("1:cpu:/\n", kMountsOfVersion1));
  EXPECT_FALSE(FindMemoryCgroup("", ""));
  EXPECT_FALSE(FindMemoryCgroup("0::/\n", "30 23 0:27 / /sys/fs/cgroup rw cgroup2 cgroup rw\n"));
}

TEST(ParseMemoryStat, Version2) {
  CgroupMemory out;
  ParseMemoryStat("anon 1000\nfile 300\nkernel 70\nkernel_stack 9\nfile_mapped 200\nsock 5\n", 2,
                  &out);
  EXPECT_EQ(out.anonymous, 1000u);
  EXPECT_EQ(out.file, 300u);
  EXPECT_EQ(out.file_mapped, 200u);
  EXPECT_EQ(out.kernel, 70u);
}

TEST(ParseMemoryStat, WhatCanBeDroppedIsOnTheLists) {
  CgroupMemory out;
  ParseMemoryStat("file 300\nactive_file 40\ninactive_file 60\nactive_anon 500\n", 2, &out);
  EXPECT_EQ(out.file_lists, 100u);
  EXPECT_TRUE(out.has_lists);
  CgroupMemory version1;
  ParseMemoryStat("active_file 9\ntotal_active_file 30\ntotal_inactive_file 5\n", 1, &version1);
  EXPECT_EQ(version1.file_lists, 35u);
}

TEST(ParseMemoryStat, OldKernelsTellThePartsOfTheKernelsShare) {
  CgroupMemory out;
  ParseMemoryStat("kernel_stack 10\npagetables 20\npercpu 1\nsock 2\nslab 300\n", 2, &out);
  EXPECT_EQ(out.kernel, 333u);
}

TEST(ParseMemoryStat, Version1CountsTheChildrenToo) {
  CgroupMemory out;
  ParseMemoryStat("cache 1\nrss 2\ntotal_cache 300\ntotal_rss 400\ntotal_mapped_file 50\n", 1,
                  &out);
  EXPECT_EQ(out.anonymous, 400u);
  EXPECT_EQ(out.file, 300u);
  EXPECT_EQ(out.file_mapped, 50u);
}

TEST(ParseMemoryStat, NonsenseIsNoNumber) {
  CgroupMemory out;
  ParseMemoryStat("anon\nfile -5\nkernel 99999999999999999999999\n\n  \nanon x", 2, &out);
  EXPECT_EQ(out.anonymous, 0u);
  EXPECT_EQ(out.file, 0u);
  EXPECT_EQ(out.kernel, 0u);
}

TEST(FindMemoryCgroup, MutatedTextsNeverFault) {
  std::mt19937_64 random(7);
  const std::string good = std::string("4:memory:/docker/abc\n0::/\n") + kMountsOfVersion1;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = good;
    for (int i = 0; i < 4; ++i) text[random() % text.size()] = static_cast<char>(random() % 128);
    const auto place = FindMemoryCgroup(text, text);
    EXPECT_TRUE(!place || place->directory.size() < text.size());
  }
}

TEST(ReadCgroupMemory, SaysWhyItKnowsNothing) {
  const CgroupMemory here = ReadCgroupMemory();
  EXPECT_EQ(here.version == 0, !here.problem.empty());
  EXPECT_EQ(here.version == 0, here.current == 0);
}

}  // namespace
}  // namespace sonde
