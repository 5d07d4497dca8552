// SPDX-License-Identifier: Apache-2.0
// .eh_frame from an object's file: the same bytes as in memory, nothing of it becomes resident, and
// another file in its place is not taken for it.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "collectors/unwind_tables_file.h"

namespace sonde {
namespace {

// A plug-in at a path of its own, loaded.
class EhFrameFileTest : public testing::Test {
 protected:
  EhFrameFileTest() {
    std::filesystem::copy_file(SONDE_TEST_PLUGIN, path_);
    handle_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  ~EhFrameFileTest() override {
    if (handle_ != nullptr) dlclose(handle_);
    std::filesystem::remove(path_);
  }

  LoadedObject Object() const {
    CodeList code;
    EXPECT_TRUE(ListCode(memory_, {}, &code));
    for (const LoadedObject& object : code.objects) {
      if (object.name == path_) return object;
    }
    ADD_FAILURE() << path_ << " is not among the objects";
    return {};
  }
  // In place of the file, as installers do it.
  void Replace(const std::string& content) const {
    std::ofstream(path_ + ".new", std::ios::binary) << content;
    std::filesystem::rename(path_ + ".new", path_);
  }
  std::string Content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<uint8_t> InMemory(const LoadedObject& object, size_t size) const {
    std::vector<uint8_t> bytes(size);
    EXPECT_TRUE(memory_.Read(object.eh_frame, bytes.data(), size));
    return bytes;
  }
  std::vector<uint8_t> Copied(const LoadedObject& object) const {
    TableMemory copy;
    EhFrameSection section;
    EXPECT_TRUE(CopyEhFrame(memory_, object, &copy, &section));
    return {section.data, section.data + section.size};
  }

  const std::string path_ =
      testing::TempDir() + "eh_frame_file." + std::to_string(getpid()) + ".so";
  const ProcessMemory memory_;
  void* handle_ = nullptr;
};

TEST_F(EhFrameFileTest, HasTheSameBytesAsTheMapping) {
  const LoadedObject object = Object();
  const EhFrameFile file(memory_, object);
  ASSERT_TRUE(file.is_open());
  const std::vector<uint8_t> copied = Copied(object);
  EXPECT_EQ(copied, InMemory(object, copied.size()));
}

TEST_F(EhFrameFileTest, EndsWithTheSegment) {
  const LoadedObject object = Object();
  const EhFrameFile file(memory_, object);
  uint8_t bytes[8];
  EXPECT_TRUE(file.Read(object.eh_frame_limit - 8, bytes, 8));
  EXPECT_FALSE(file.Read(object.eh_frame_limit - 7, bytes, 8));
  EXPECT_FALSE(file.Read(object.eh_frame - 1, bytes, 8));
  EXPECT_FALSE(file.Read(~uint64_t{0} - 3, bytes, 8));
}

TEST_F(EhFrameFileTest, AnotherBuildInItsPlaceIsNotIt) {
  const LoadedObject object = Object();
  const std::vector<uint8_t> before = Copied(object);
  std::ifstream other(SONDE_TEST_OTHER_PLUGIN, std::ios::binary);
  Replace({std::istreambuf_iterator<char>(other), {}});
  EXPECT_FALSE(EhFrameFile(memory_, object).is_open());
  EXPECT_EQ(Copied(object), before);
}

TEST_F(EhFrameFileTest, NorIsAFileThatOnlyBeginsLikeIt) {
  const LoadedObject object = Object();
  const std::vector<uint8_t> before = Copied(object);
  std::string content = Content();
  content[object.eh_frame_in_file + 9] ^= 1;
  Replace(content);
  EXPECT_FALSE(EhFrameFile(memory_, object).is_open());
  Replace(content.substr(0, object.eh_frame_in_file));
  EXPECT_FALSE(EhFrameFile(memory_, object).is_open());
  EXPECT_EQ(Copied(object), before);
}

TEST_F(EhFrameFileTest, WhatIsNoFileIsNotOpened) {
  LoadedObject object = Object();
  for (const char* name : {"", "[vdso]", "/dev/zero", "/nowhere", "relative"}) {
    object.name = name;
    EXPECT_FALSE(EhFrameFile(memory_, object).is_open()) << name;
  }
  object.name = path_;
  object.eh_frame_in_file = 0;
  EXPECT_FALSE(EhFrameFile(memory_, object).is_open());
}

}  // namespace
}  // namespace sonde
