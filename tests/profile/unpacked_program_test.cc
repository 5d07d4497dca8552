// SPDX-License-Identifier: Apache-2.0
#include "profile/unpacked_program.h"

#include <gtest/gtest.h>
#include <string.h>

#include <vector>

#include "profile/elf_file.h"
#include "profile/symbolizer.h"

namespace sonde {
namespace {

constexpr uint64_t kImage = 0x7f0000000000, kHeaders = kImage + 64;
constexpr int kPid = 7;

// A program as it lies in memory after it has unpacked itself.
class UnpackedProgram : public testing::Test {
 protected:
  UnpackedProgram() {
    auto source = OpenFile(SAMPLE_PIE);
    std::string file((*source)->size(), '\0');
    EXPECT_TRUE((*source)->ReadExact(0, file.data(), file.size()));
    const auto elf = ElfFile::Open(std::move(*source));
    build_id_ = (*elf)->build_id();
    for (const ElfSegment& segment : (*elf)->segments()) {
      memory_.resize(std::max<size_t>(memory_.size(), segment.address + segment.memory_size));
      memcpy(memory_.data() + segment.address, file.data() + segment.offset, segment.file_size);
      if (segment.executable) text_ = segment;
    }
    Mapping code;
    code.start = kImage + text_.address;
    code.limit = code.start + 0x1000;
    code.path = "//anon";
    Mapping jit = code;
    jit.start = kImage + 0x40000000;
    jit.limit = jit.start + 0x1000;
    mappings_ = {code, jit};
  }
  MemoryReader Reader() const {
    return [this](uint64_t address, void* out, size_t size) {
      const uint64_t at = address - kImage;
      if (address < kImage || at > memory_.size() || size > memory_.size() - at) return false;
      memcpy(out, memory_.data() + at, size);
      return true;
    };
  }

  std::vector<char> memory_;
  std::string build_id_;
  ElfSegment text_;
  std::vector<Mapping> mappings_;
};

TEST_F(UnpackedProgram, IsTheProgramAndNotGeneratedCode) {
  ASSERT_TRUE(FindUnpackedProgram(kHeaders, Reader(), "/srv/packed", &mappings_));
  EXPECT_EQ(mappings_[0].path, "/srv/packed");
  EXPECT_TRUE(mappings_[0].deleted);
  EXPECT_EQ(mappings_[0].offset, text_.offset);
  EXPECT_FALSE(mappings_[0].IsGenerated());
  EXPECT_TRUE(mappings_[1].IsGenerated());
  SetOwner(kPid, &mappings_);
  AddBuildIds(Reader(), &mappings_);
  EXPECT_EQ(mappings_[0].build_id, build_id_);
  EXPECT_NE(build_id_, "");
  EXPECT_TRUE(MoveMainFirst(kHeaders, &mappings_));
  SymbolizerOptions options;
  options.memory = Reader();
  options.memory_pid = kPid;
  Symbolizer symbolizer(std::move(options));
  const Symbol symbol = symbolizer.Lookup(mappings_[0], mappings_[0].start + 16);
  EXPECT_EQ(symbol.module_address, text_.address + 16);
}

TEST_F(UnpackedProgram, IsNoneWhereAFileIsMappedOrNothingIsThere) {
  std::vector<Mapping> before = mappings_;
  EXPECT_FALSE(FindUnpackedProgram(0, Reader(), "/srv/x", &mappings_));
  EXPECT_FALSE(FindUnpackedProgram(kHeaders, MemoryReader(), "/srv/x", &mappings_));
  EXPECT_FALSE(FindUnpackedProgram(kHeaders + 0x1000, Reader(), "/srv/x", &mappings_));
  EXPECT_FALSE(FindUnpackedProgram(kImage + 0x50000000, Reader(), "/srv/x", &mappings_));
  EXPECT_EQ(mappings_, before);
  Mapping program;
  program.start = program.image_start = kImage;
  program.limit = program.image_limit = kImage + 0x1000;
  program.path = "/usr/bin/program";
  mappings_.push_back(program);
  before = mappings_;
  EXPECT_FALSE(FindUnpackedProgram(kHeaders, Reader(), "/srv/x", &mappings_));
  EXPECT_EQ(mappings_, before);
}

}  // namespace
}  // namespace sonde
