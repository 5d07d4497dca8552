// SPDX-License-Identifier: Apache-2.0
#include "profile/elf_file.h"

#include <gtest/gtest.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <random>

#include "profile/plt.h"
#include "profile/symbol_index.h"
#include "tests/profile/test_util.h"

namespace sonde {
namespace {

// The bytes of a string as the memory of a process at address 0.
std::unique_ptr<ByteSource> FromBytes(const std::string& bytes) {
  const auto reader = [&bytes](uint64_t address, void* out, size_t size) {
    memcpy(out, bytes.data() + address, size);
    return true;
  };
  return OpenMemory(reader, 0, bytes.size());
}

std::string OpenError(const std::string& bytes) {
  auto elf = ElfFile::Open(FromBytes(bytes));
  return elf ? "" : elf.error();
}

const std::string& Sample() {
  static const std::string bytes = ReadWholeFile(SAMPLE_PIE);
  return bytes;
}

// Asks an object everything that can be asked. For its own sake: nothing may crash, hang or run
// away.
size_t AskEverything(const std::string& bytes) {
  auto elf = ElfFile::Open(FromBytes(bytes));
  if (!elf) return 0;
  size_t answers = (*elf)->build_id().size();
  SymbolIndex index(**elf, 1000);
  for (const ElfSection& section : (*elf)->sections()) {
    for (uint64_t at = 0; at < section.size && at < 4096; at += 37) {
      const uint64_t address = section.address + at;
      if (const auto function = index.Find(address)) answers += index.Name(*function).size();
      if (const auto plt = FindPltEntry(**elf, address)) {
        answers += ResolvePltEntry(**elf, *plt).name.size();
      }
      if ((*elf)->OffsetToAddress(at)) ++answers;
    }
  }
  return answers;
}

TEST(ElfFile, SaysWhatAForeignFileIs) {
  EXPECT_EQ(OpenError(""), "not an ELF object: 0 bytes, expected a header of 64");
  EXPECT_EQ(OpenError("#!/bin/sh\n"), "not an ELF object: starts with 23212f62, expected 7f454c46");
  std::string bytes = Sample();
  bytes[EI_CLASS] = 1;
  EXPECT_EQ(OpenError(bytes), "ELF class 1: only 64-bit objects (2) are supported");
  bytes = Sample();
  bytes[EI_DATA] = 2;
  EXPECT_EQ(OpenError(bytes), "ELF byte order 2: only little endian (1) is supported");
  EXPECT_EQ(OpenError(Sample().substr(0, 40)), "ELF header cut short: 40 of 64 bytes");
  EXPECT_NE(OpenError(Sample().substr(0, 70)).find("reach past the end of the file (70 bytes)"),
            std::string::npos);
}

TEST(ElfFile, KnowsTheBuildIdThatReadelfShows) {
  for (const char* path : {SAMPLE_PIE, SAMPLE_NO_PIE, "/usr/lib/x86_64-linux-gnu/libc.so.6"}) {
    auto elf = ElfFile::Open(std::move(*OpenFile(path)));
    ASSERT_TRUE(elf.ok()) << elf.error();
    const std::string notes = RunCommand(std::string("readelf -n ") + path + " 2>/dev/null");
    EXPECT_NE(notes.find("Build ID: " + (*elf)->build_id() + "\n"), std::string::npos) << path;
    EXPECT_EQ((*elf)->build_id().size(), 40u);
  }
}

TEST(ElfFile, WorksOnTheVdsoInMemory) {
  const uint64_t base = getauxval(AT_SYSINFO_EHDR);
  const auto reader = [](uint64_t address, void* out, size_t size) {
    memcpy(out, reinterpret_cast<const void*>(address), size);
    return true;
  };
  auto elf = ElfFile::Open(OpenMemory(reader, base, static_cast<uint64_t>(getpagesize())));
  ASSERT_TRUE(elf.ok()) << elf.error();
  EXPECT_FALSE((*elf)->build_id().empty());
}

TEST(ElfFile, TranslatesOffsetsToAddressesAndBack) {
  auto elf = ElfFile::Open(FromBytes(Sample()));
  ASSERT_TRUE(elf.ok()) << elf.error();
  size_t code_segments = 0;
  for (const ElfSegment& segment : (*elf)->segments()) {
    if (!segment.executable) continue;
    ++code_segments;
    const uint64_t last = segment.offset + segment.file_size - 1;
    EXPECT_EQ((*elf)->OffsetToAddress(segment.offset), segment.address);
    EXPECT_EQ((*elf)->AddressToOffset(segment.address + segment.file_size - 1), last);
    EXPECT_EQ((*elf)->OffsetToAddress(Sample().size() + 4096), std::nullopt);
  }
  EXPECT_EQ(code_segments, 1u);
}

TEST(ElfFile, DirectoriesPipesAndMissingFilesAreErrorsNotWaits) {
  EXPECT_EQ(OpenFile("/usr").error(), "/usr: not a regular file");
  EXPECT_EQ(OpenFile("/no/such").error(), "/no/such: cannot open: no such file");
  const std::string pipe = "/tmp/sonde_pipe_" + std::to_string(getpid());
  RunCommand("mkfifo " + pipe);
  EXPECT_EQ(OpenFile(pipe).error(), pipe + ": not a regular file");
  unlink(pipe.c_str());
}

TEST(ElfFile, AFileThatShrinksWhileOpenGivesFewerAnswersAndNoSignal) {
  const TempFile file(Sample());
  auto elf = ElfFile::Open(std::move(*OpenFile(file.path())));
  ASSERT_TRUE(elf.ok()) << elf.error();
  ASSERT_EQ(truncate(file.path().c_str(), 1000), 0);
  SymbolIndex index(**elf, 1000);
  for (uint64_t address = 0x1000; address < 0x2000; address += 16) {
    EXPECT_EQ(index.Find(address), std::nullopt);
  }
}

TEST(ElfFile, SurvivesBeingCutAnywhere) {
  size_t answered = 0;
  for (size_t size = 0; size < Sample().size(); size += 61) {
    answered += AskEverything(Sample().substr(0, size)) != 0 ? 1 : 0;
  }
  EXPECT_GT(answered, 0u);
  EXPECT_GT(AskEverything(Sample()), 1000u);
}

TEST(ElfFile, SurvivesDamagedHeadersAndTables) {
  std::mt19937 random(20240607);
  size_t opened = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = Sample();
    const size_t flips = 1 + random() % 8;
    for (size_t i = 0; i < flips; ++i) {
      // Headers are at both ends of the file, symbols before the last one.
      const size_t zone = random() % 3;
      const size_t at =
          zone == 0 ? random() % 1024 : bytes.size() - 1 - random() % (bytes.size() / zone / 2 + 1);
      bytes[at] = static_cast<char>(random());
    }
    opened += AskEverything(bytes) != 0 ? 1 : 0;
  }
  EXPECT_GT(opened, 1000u);  // else the loop would only test the first check
}

TEST(ElfFile, SurvivesHostileNumbersInEveryHeaderField) {
  const uint64_t hostile[] = {0, 1, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, UINT64_MAX - 7};
  size_t answered = 0;
  for (size_t field = 16; field + 8 <= 64 + 13 * 56; field += 4) {
    for (const uint64_t value : hostile) {
      std::string bytes = Sample();
      memcpy(bytes.data() + field, &value, sizeof value);
      answered += AskEverything(bytes);
    }
  }
  EXPECT_GT(answered, 0u);
}

}  // namespace
}  // namespace sonde
