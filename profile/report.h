// SPDX-License-Identifier: Apache-2.0
// Questions to a profile: who burns it (flat), under whom (cumulative), by what grouping, and the
// call tree. Used by the CLI, which prints. Pure functions, no printing. Memory: one row a distinct
// name, one node a distinct path; both no larger than the profile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profile/pprof.h"
#include "profile/result.h"

namespace sonde::pprof {

// Empty: takes everything (focus) or nothing (ignore).
using NameMatcher = std::function<bool(std::string_view)>;
NameMatcher ContainsText(std::string text);

struct Filter {
  // A frame matches by its function, its source file or the path of its binary.
  NameMatcher focus;      // a sample stays if one of its frames matches …
  NameMatcher ignore;     // … and none matches this
  std::string label_key;  // and, with a key, if its label's text is `label_value`
  std::string label_value;
};

enum class GroupBy {
  kFunction,
  kLine,     // function and file:line
  kMapping,  // binary or library
  kLabel,    // a label's value, e.g. "thread"
};

struct ReportOptions {
  std::string sample_type;  // empty: the default one
  GroupBy group_by = GroupBy::kFunction;
  std::string label_key;  // of kLabel
  Filter filter;
};

struct Row {
  std::string name;
  std::string file;        // kFunction and kLine, if known
  int64_t line = 0;        // kLine
  std::string mapping;     // path of the leaf's or first caller's binary; empty: none
  int64_t flat = 0;        // in it; of a label: all that has it
  int64_t cumulative = 0;  // in it or below it; once a sample, however often it is on the stack
};

struct Report {
  std::string type;      // "cpu"
  std::string unit;      // "nanoseconds"
  int64_t total = 0;     // of the whole profile
  int64_t filtered = 0;  // of what the filter left
  // Sum of absolute values, for percentages of a difference.
  int64_t total_absolute = 0;
  std::vector<Row> rows;  // by |flat|, then |cumulative|, then name
};

// An error when there is no such sample type.
Result<Report> MakeReport(const Profile& profile, const ReportOptions& options);

// One line of a stack, as the grouping names it.
struct Frame {
  std::string name;
  std::string file;  // kFunction and kLine, if known
  int64_t line = 0;  // kLine
  std::string mapping;
  bool is_label = false;  // a label's value, above the functions
};

struct CallNode {
  uint32_t frame = 0;  // index into CallTree::frames
  int64_t flat = 0;
  int64_t cumulative = 0;
  std::vector<uint32_t> children;  // indexes into CallTree::nodes, by |cumulative|
};

struct CallTree {
  std::string type;
  std::string unit;
  std::vector<Frame> frames;    // frames[0] is the root's: without name
  std::vector<CallNode> nodes;  // nodes[0] is the root, above all stacks

  const Frame& FrameOf(const CallNode& node) const { return frames[node.frame]; }
};

// By label: the label's values are the callers of the outermost functions.
Result<CallTree> MakeCallTree(const Profile& profile, const ReportOptions& options);

// A label's value as text, also of a number; nullopt: the sample has no such label.
std::optional<std::string> LabelText(const Profile& profile, const Sample& sample,
                                     std::string_view key);

// Drops the samples that the filter does not keep.
void ApplyFilter(const Filter& filter, Profile* profile);

// How a frame without function is called: "libfoo.so+0x1a2b" (offset in the file), or the bare
// address.
std::string AddressName(const Profile& profile, const Location& location);

// The sample type that `type` names; empty: default_sample_type, else the last one, as pprof does.
Result<uint32_t> ChooseSampleType(const Profile& profile, const std::string& type);

}  // namespace sonde::pprof
