// SPDX-License-Identifier: Apache-2.0
// What several tests of profile/ need: running a tool, temporary files, reading files.
#pragma once

#include <string>
#include <vector>

namespace sonde {

// Standard output of a shell command; throws when it fails.
std::string RunCommand(const std::string& command);
std::vector<std::string> SplitLines(const std::string& text);
std::string ReadWholeFile(const std::string& path);

// A file that is gone at the end of its scope.
class TempFile {
 public:
  explicit TempFile(const std::string& content);
  ~TempFile();
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace sonde
