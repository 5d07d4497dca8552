// SPDX-License-Identifier: Apache-2.0
// Executable mappings that belong to no object, out of /proc/self/maps.
#include <fcntl.h>
#include <string.h>

#include <string_view>

#include "collectors/safe/sys.h"
#include "collectors/unwind_tables_objects.h"

namespace sonde {
namespace {

// Reads a file line by line through one buffer; a line that does not fit is cut.
class LineReader {
 public:
  explicit LineReader(const char* path)
      : fd_(sys::Call(SYS_openat, static_cast<long>(AT_FDCWD), path,
                      static_cast<long>(O_RDONLY | O_CLOEXEC))) {}
  ~LineReader() {
    if (!sys::Failed(fd_)) sys::Call(SYS_close, fd_);
  }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool Next(std::string_view* line) {
    for (;;) {
      const std::string_view rest(buffer_ + begin_, end_ - begin_);
      const size_t newline = rest.find('\n');
      if (newline != std::string_view::npos) {
        *line = rest.substr(0, newline);
        begin_ += newline + 1;
        return true;
      }
      if (!Fill()) return false;
    }
  }

 private:
  bool Fill() {
    if (begin_ == 0 && end_ == sizeof(buffer_)) return false;
    memmove(buffer_, buffer_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const long got =
        sys::Failed(fd_) ? 0 : sys::Call(SYS_read, fd_, buffer_ + end_, sizeof(buffer_) - end_);
    if (got <= 0) return false;
    end_ += static_cast<size_t>(got);
    return true;
  }

  const long fd_;
  size_t begin_ = 0;
  size_t end_ = 0;
  char buffer_[8192];
};

bool TakeHex(std::string_view* text, uint64_t* value) {
  size_t digits = 0;
  *value = 0;
  for (; digits < text->size(); ++digits) {
    const char c = (*text)[digits];
    const bool decimal = c >= '0' && c <= '9';
    if (!decimal && !(c >= 'a' && c <= 'f')) break;
    *value = *value << 4 | static_cast<uint64_t>(decimal ? c - '0' : c - 'a' + 10);
  }
  text->remove_prefix(digits);
  return digits != 0 && digits <= 16;
}

// "7f00-7f80 r-xp …": false unless it is executable memory of this process (not the vsyscall page).
bool ParseExecutable(std::string_view line, CodeRange* range) {
  constexpr uint64_t kUserEnd = uint64_t{1} << 47;
  if (!TakeHex(&line, &range->low) || line.empty()) return false;
  line.remove_prefix(1);
  if (!TakeHex(&line, &range->high) || line.size() < 4) return false;
  return line[3] == 'x' && range->low < range->high && range->high <= kUserEnd;
}

}  // namespace

std::vector<CodeRange> ListOtherCode(const std::vector<CodeRange>& objects) {
  std::vector<CodeRange> ranges;
  LineReader lines("/proc/self/maps");
  auto object = objects.begin();
  CodeRange range;
  for (std::string_view line; ranges.size() < kMaxCodeRanges && lines.Next(&line);) {
    if (!ParseExecutable(line, &range)) continue;
    while (object != objects.end() && object->high <= range.low) ++object;
    if (object != objects.end() && object->low < range.high) continue;
    if (!ranges.empty() && ranges.back().high == range.low) {
      ranges.back().high = range.high;
    } else {
      ranges.push_back(range);
    }
  }
  return ranges;
}

}  // namespace sonde
