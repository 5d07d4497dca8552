// SPDX-License-Identifier: Apache-2.0
// main() of a fuzz target without libFuzzer: gives it the files of a folder, once each, and
// beginnings of them. What is wrong ends the program by a signal or a sanitizer's report.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kBeginnings = 16;

std::vector<uint8_t> Read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Each from a block of its own, so that a sanitizer sees a read behind its end.
void Give(const std::vector<uint8_t>& bytes, size_t size) {
  const std::vector<uint8_t> part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
  LLVMFuzzerTestOneInput(part.data(), part.size());
}

void Replay(const std::filesystem::path& path) {
  printf("%s\n", path.c_str());
  fflush(stdout);  // the last line names what ended the program
  const std::vector<uint8_t> bytes = Read(path);
  for (size_t i = 0; i <= kBeginnings; ++i) Give(bytes, bytes.size() * i / kBeginnings);
}

}  // namespace

int main(int argc, char** argv) {
  int files = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      Replay(entry.path());
      ++files;
    }
  }
  printf("%d files\n", files);
  if (files == 0)
    fprintf(stderr, "usage: %s FOLDER..., with at least one input in them\n", argv[0]);
  return files > 0 ? 0 : 2;
}
