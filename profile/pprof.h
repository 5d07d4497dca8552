// SPDX-License-Identifier: Apache-2.0
// A profile in memory, shaped as profile.proto but with indexes for ids and strings, so that two
// equal things are one index. Made by decode, merge and the builder; read by encode and report.
// Plain data: any number of readers, one writer. Memory: as large as the profile; who decodes
// foreign bytes sets limits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "profile/id_index.h"

namespace sonde::pprof {

// Index into Profile::strings; 0 is always the empty string.
using StringId = uint32_t;
inline constexpr uint32_t kNone = UINT32_MAX;  // "no mapping", "no function"

struct ValueType {
  StringId type = 0;
  StringId unit = 0;
  bool operator==(const ValueType&) const = default;
};

struct Label {  // text if `text` is not 0, else a number
  StringId key = 0;
  StringId text = 0;
  int64_t number = 0;
  StringId unit = 0;
  auto operator<=>(const Label&) const = default;
};

struct Mapping {
  uint64_t start = 0;
  uint64_t limit = 0;
  uint64_t offset = 0;
  StringId file = 0;
  StringId build_id = 0;
  bool has_functions = false;
  bool has_filenames = false;
  bool has_line_numbers = false;
  bool has_inline_frames = false;
};

struct Function {
  StringId name = 0;
  StringId system_name = 0;  // as linked (mangled)
  StringId file = 0;
  int64_t start_line = 0;
  bool operator==(const Function&) const = default;
};

struct Line {
  uint32_t function = kNone;  // index into functions
  int64_t line = 0;
  auto operator<=>(const Line&) const = default;
};

struct Location {
  uint32_t mapping = kNone;  // index into mappings
  uint64_t address = 0;
  std::vector<Line> lines;  // innermost inlined function first, the real one last
  bool is_folded = false;
};

struct Sample {
  std::vector<uint32_t> locations;  // indexes, leaf first
  std::vector<int64_t> values;      // one a sample type
  std::vector<Label> labels;
};

struct Profile {
  std::vector<ValueType> sample_types;
  std::vector<Sample> samples;
  std::vector<Mapping> mappings;  // the first is the main program
  std::vector<Location> locations;
  std::vector<Function> functions;
  std::vector<std::string> strings = {""};
  StringId drop_frames = 0;
  StringId keep_frames = 0;
  int64_t time_nanos = 0;
  int64_t duration_nanos = 0;
  ValueType period_type;
  int64_t period = 0;
  std::vector<StringId> comments;
  StringId default_sample_type = 0;

  const std::string& Text(StringId id) const { return strings[id]; }
  // The index of the sample type of that name; kNone if there is none.
  uint32_t SampleTypeIndex(const std::string& type) const;
};

// Gives equal strings one id while a profile is being made. Only the strings that were there before
// it, and its own, are found again.
class StringTable {
 public:
  explicit StringTable(std::vector<std::string>* strings);
  StringId Intern(std::string_view text);

 private:
  std::vector<std::string>* strings_;
  IdIndex ids_;
};

}  // namespace sonde::pprof
