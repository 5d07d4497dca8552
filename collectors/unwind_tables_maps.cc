// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_maps.h"

#include <string.h>

namespace sonde {
namespace {

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

bool TakeNumber(std::string_view* text, int radix, uint64_t* value) {
  size_t digits = 0;
  *value = 0;
  for (; digits < text->size() && Digit((*text)[digits]) < radix; ++digits) {
    *value = *value * static_cast<uint64_t>(radix) + static_cast<uint64_t>(Digit((*text)[digits]));
  }
  text->remove_prefix(digits);
  return digits != 0;
}

bool TakeCharacter(std::string_view* text, char expected) {
  if (text->empty() || text->front() != expected) return false;
  text->remove_prefix(1);
  return true;
}

bool TakePermissions(std::string_view* text, MappedRegion* region) {
  constexpr size_t kLength = 4;
  if (text->size() < kLength) return false;
  region->readable = (*text)[0] == 'r';
  region->writable = (*text)[1] == 'w';
  region->executable = (*text)[2] == 'x';
  region->shared = (*text)[3] == 's';
  text->remove_prefix(kLength);
  return true;
}

// "7f00-7f80 r-xp 00001000 fe:01 1234    /lib/x.so"
bool ParseLine(std::string_view line, MappedRegion* region) {
  uint64_t major = 0, minor = 0;
  const bool parsed = TakeNumber(&line, 16, &region->low) && TakeCharacter(&line, '-') &&
                      TakeNumber(&line, 16, &region->high) && TakeCharacter(&line, ' ') &&
                      TakePermissions(&line, region) && TakeCharacter(&line, ' ') &&
                      TakeNumber(&line, 16, &region->offset) && TakeCharacter(&line, ' ') &&
                      TakeNumber(&line, 16, &major) && TakeCharacter(&line, ':') &&
                      TakeNumber(&line, 16, &minor) && TakeCharacter(&line, ' ') &&
                      TakeNumber(&line, 10, &region->inode);
  region->device = major << 32 | minor;
  while (TakeCharacter(&line, ' ')) {
  }
  region->name = line;
  return parsed;
}

}  // namespace

bool MapsReader::Next(MappedRegion* region) {
  constexpr uint64_t kUserEnd = uint64_t{1} << 47;
  for (std::string_view line; NextLine(&line);) {
    if (!ParseLine(line, region)) continue;
    if (region->low < last_high_ || region->low >= region->high || region->high > kUserEnd)
      continue;
    last_high_ = region->high;
    return true;
  }
  return false;
}

// A line that does not fit into the buffer is cut in two; the second piece is no mapping.
bool MapsReader::NextLine(std::string_view* line) {
  for (;;) {
    const std::string_view rest(buffer_ + begin_, end_ - begin_);
    const size_t newline = rest.find('\n');
    if (newline != std::string_view::npos) {
      *line = rest.substr(0, newline);
      begin_ += newline + 1;
      return true;
    }
    if (rest.size() == sizeof(buffer_)) {
      *line = rest;
      begin_ = end_;
      return true;
    }
    if (!Fill()) return false;
  }
}

bool MapsReader::Fill() {
  memmove(buffer_, buffer_ + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const long got = memory_.ReadMaps(offset_, buffer_ + end_, sizeof(buffer_) - end_);
  failed_ = got < 0;
  if (got <= 0) return false;
  offset_ += static_cast<uint64_t>(got);
  end_ += static_cast<size_t>(got);
  return true;
}

}  // namespace sonde
