// SPDX-License-Identifier: Apache-2.0
#include "agent/http/token.h"

#include <fcntl.h>

namespace sonde::http {

void TokenFile::Refresh() {
  const FileMark mark = MarkOf(path_.c_str());
  if (!configured() || (was_read_ && mark == mark_)) return;
  mark_ = mark;
  was_read_ = true;
  token_.clear();
  const long failure = ReadSmallFile(AT_FDCWD, path_.c_str(), kMaxBytes, &token_);
  while (!token_.empty() && static_cast<unsigned char>(token_.back()) <= ' ') token_.pop_back();
  error_.clear();
  if (failure != 0) {
    error_ = "SONDE_TOKEN_FILE = " + path_ + ": " + ErrorText(failure);
  } else if (token_.size() < kMinBytes) {
    error_ = "SONDE_TOKEN_FILE = " + path_ + ": expected a token of at least " +
             std::to_string(kMinBytes) + " bytes";
  }
  if (!error_.empty()) token_.clear();
}

bool TokenFile::Matches(std::string_view candidate) {
  Refresh();
  return !token_.empty() && SameSecret(candidate, token_);
}

const std::string& TokenFile::error() {
  Refresh();
  return error_;
}

bool SameSecret(std::string_view a, std::string_view b) {
  volatile unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference = static_cast<unsigned char>(difference | (a[i] ^ other));
  }
  return difference == 0;
}

}  // namespace sonde::http
