// SPDX-License-Identifier: Apache-2.0
// Unpacking what the xz program packed, and refusing what was damaged.
#include "profile/xz.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <vector>

namespace sonde {
namespace {

constexpr size_t kRoom = size_t{64} << 20;
// The thread sanitizer looks at each access of the unpacker, and costs it fifty times the CPU.
#if defined(__SANITIZE_THREAD__)
constexpr size_t kShorter = 20;
#else
constexpr size_t kShorter = 1;
#endif

std::string PackWith(const std::string& options, const std::string& text) {
  const std::string path = testing::TempDir() + "sonde_xz_test_" + std::to_string(getpid());
  std::ofstream(path, std::ios::binary) << text;
  std::string packed;
  FILE* pipe = popen(("xz -c " + options + " " + path).c_str(), "r");
  char block[65536];
  for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;) packed.append(block, n);
  EXPECT_EQ(pclose(pipe), 0);
  remove(path.c_str());
  return packed;
}

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Text that repeats itself near and far, code, noise.
std::vector<std::string> Texts() {
  std::mt19937 random(1);
  std::string words;
  while (words.size() < 700'000 / kShorter) words += "word" + std::to_string(random() % 5000) + ";";
  std::string noise(200'000 / kShorter, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  std::ifstream self("/proc/self/exe", std::ios::binary);
  std::string code{std::istreambuf_iterator<char>(self), {}};
  code.resize(std::min<size_t>(code.size(), 3'000'000 / kShorter));
  return {"",  "x", std::string(3'000'000 / kShorter, 'a'), words, noise, words + noise + words,
          code};
}

TEST(UnpackXz, GivesBackWhatXzPacked) {
  for (const std::string& text : Texts()) {
    for (const char* options :
         {"-0", "-6", "-9e", "--check=crc32", "--check=none", "--block-size=65536",
          "--lzma2=lc=0,lp=4,pb=0,dict=4096", "--lzma2=lc=4,lp=0,pb=4"}) {
      const std::string packed = PackWith(options, text);
      const auto unpacked = UnpackXz(Bytes(packed), kRoom);
      ASSERT_TRUE(unpacked.ok()) << options << ": " << unpacked.error();
      EXPECT_TRUE(*unpacked == text) << options << ", " << text.size() << " bytes";
    }
  }
}

TEST(UnpackXz, SaysWhatItDoesNotDo) {
  const std::string text(10'000, 'a');
  EXPECT_NE(UnpackXz(Bytes(PackWith("--check=sha256", text)), kRoom).error().find("check 10"),
            std::string::npos);
  EXPECT_NE(
      UnpackXz(Bytes(PackWith("--x86 --lzma2", text)), kRoom).error().find("other than LZMA2"),
      std::string::npos);
  EXPECT_NE(UnpackXz(Bytes(PackWith("", text)), 9'999).error().find("more than 9999"),
            std::string::npos);
  EXPECT_NE(UnpackXz(Bytes("plain text, long enough"), kRoom).error().find("not xz"),
            std::string::npos);
}

// Every byte changed, every length cut: an error, or what it was; never something else.
TEST(UnpackXz, NeverGivesSomethingElse) {
  const std::string text = Texts()[3].substr(0, 3000);
  const std::string packed = PackWith("", text);
  for (size_t i = 0; i < packed.size(); ++i) {
    for (const int change : {1, 0x80, 0xff}) {
      std::string damaged = packed;
      damaged[i] = static_cast<char>(damaged[i] ^ change);
      const auto unpacked = UnpackXz(Bytes(damaged), kRoom);
      EXPECT_TRUE(!unpacked.ok() || *unpacked == text) << "byte " << i;
    }
    EXPECT_FALSE(UnpackXz(Bytes(packed.substr(0, i)), kRoom).ok()) << "cut at " << i;
  }
}

}  // namespace
}  // namespace sonde
