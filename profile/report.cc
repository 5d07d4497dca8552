// SPDX-License-Identifier: Apache-2.0
#include "profile/report.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "profile/hex.h"
#include "profile/unnamed.h"

namespace sonde::pprof {
namespace {

constexpr char kNoMapping[] = "[no binary]";
constexpr char kNoLabel[] = "[none]";

uint64_t Magnitude(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

void Add(int64_t value, int64_t* sum) {
  *sum = static_cast<int64_t>(static_cast<uint64_t>(*sum) + static_cast<uint64_t>(value));
}

// Every location as the row numbers of its frames, innermost first: inlined functions are frames as
// well.
class Frames {
 public:
  Frames(const Profile& profile, GroupBy group_by) : profile_(profile), group_by_(group_by) {
    frames_.reserve(profile.locations.size());
    for (const Location& location : profile.locations) frames_.push_back(RowsOf(location));
  }

  const std::vector<uint32_t>& Of(uint32_t location) const { return frames_[location]; }
  std::vector<Row>& rows() { return rows_; }

 private:
  using Key = std::tuple<std::string, std::string, int64_t>;

  std::vector<uint32_t> RowsOf(const Location& location) {
    if (group_by_ == GroupBy::kMapping) return {MappingRow(location)};
    if (location.lines.empty()) return {RowFor({AddressName(profile_, location), "", 0}, location)};
    std::vector<uint32_t> rows;
    for (const Line& line : location.lines) rows.push_back(LineRow(location, line));
    return rows;
  }

  uint32_t MappingRow(const Location& location) {
    const std::string& file = MappingFile(location);
    return RowFor({file.empty() ? kNoMapping : std::string(BaseName(file)), "", 0}, location);
  }

  // By function the name alone counts: some of a function's addresses may have a file, others none.
  uint32_t LineRow(const Location& location, const Line& line) {
    if (line.function == kNone) return RowFor({AddressName(profile_, location), "", 0}, location);
    const Function& function = profile_.functions[line.function];
    const std::string& name = profile_.Text(function.name);
    const std::string& file = profile_.Text(function.file);
    if (group_by_ == GroupBy::kLine) return RowFor({name, file, line.line}, location);
    const uint32_t row = RowFor({name, "", 0}, location);
    if (rows_[row].file.empty()) rows_[row].file = file;
    return row;
  }

  const std::string& MappingFile(const Location& location) const {
    return profile_.Text(location.mapping == kNone ? 0 : profile_.mappings[location.mapping].file);
  }

  uint32_t RowFor(const Key& key, const Location& location) {
    const auto [entry, fresh] = ids_.try_emplace(key, static_cast<uint32_t>(rows_.size()));
    if (fresh) {
      Row row;
      std::tie(row.name, row.file, row.line) = key;
      row.mapping = MappingFile(location);
      rows_.push_back(std::move(row));
    }
    return entry->second;
  }

  const Profile& profile_;
  GroupBy group_by_;
  std::map<Key, uint32_t> ids_;
  std::vector<Row> rows_;
  std::vector<std::vector<uint32_t>> frames_;
};

// Whether samples stay; each location's names are matched once.
class FilterPass {
 public:
  FilterPass(const Profile& profile, const Filter& filter) : profile_(profile), filter_(filter) {
    for (const Location& location : profile.locations) {
      focus_.push_back(filter.focus && Matches(location, filter.focus));
      ignore_.push_back(filter.ignore && Matches(location, filter.ignore));
    }
  }

  bool Keeps(const Sample& sample) const {
    if (!filter_.label_key.empty()) {
      if (LabelText(profile_, sample, filter_.label_key) != filter_.label_value) return false;
    }
    const auto any = [&](const std::vector<bool>& matches) {
      return std::any_of(sample.locations.begin(), sample.locations.end(),
                         [&](uint32_t location) { return matches[location]; });
    };
    return (!filter_.focus || any(focus_)) && !any(ignore_);
  }

 private:
  bool Matches(const Location& location, const NameMatcher& matcher) const {
    if (location.mapping != kNone &&
        matcher(profile_.Text(profile_.mappings[location.mapping].file)))
      return true;
    if (location.lines.empty()) return matcher(AddressName(profile_, location));
    return std::any_of(location.lines.begin(), location.lines.end(), [&](const Line& line) {
      if (line.function == kNone) return false;
      const Function& function = profile_.functions[line.function];
      return matcher(profile_.Text(function.name)) || matcher(profile_.Text(function.file));
    });
  }

  const Profile& profile_;
  const Filter& filter_;
  std::vector<bool> focus_;
  std::vector<bool> ignore_;
};

void SortRows(std::vector<Row>* rows) {
  const auto key = [](const Row& row) {
    return std::make_tuple(~Magnitude(row.flat), ~Magnitude(row.cumulative),
                           std::string_view(row.name), std::string_view(row.file), row.line);
  };
  std::erase_if(*rows, [](const Row& row) { return row.flat == 0 && row.cumulative == 0; });
  std::sort(rows->begin(), rows->end(),
            [&](const Row& a, const Row& b) { return key(a) < key(b); });
}

// Adds one sample to the rows of its frames, to each row once.
class RowCounter {
 public:
  explicit RowCounter(Frames* frames) : frames_(frames), last_sample_(frames->rows().size()) {}

  void Count(const Sample& sample, int64_t value) {
    ++sample_number_;
    bool leaf = true;
    for (const uint32_t location : sample.locations) {
      for (const uint32_t row : frames_->Of(location)) {
        if (leaf) Add(value, &frames_->rows()[row].flat);
        leaf = false;
        if (std::exchange(last_sample_[row], sample_number_) == sample_number_) continue;
        Add(value, &frames_->rows()[row].cumulative);
      }
    }
  }

 private:
  Frames* frames_;
  std::vector<uint64_t> last_sample_;  // the sample that was last added to this row; 0: none
  uint64_t sample_number_ = 0;
};

std::vector<Row> LabelRows(const Profile& profile, const std::string& key, uint32_t type,
                           const FilterPass& filter) {
  std::map<std::string, int64_t> sums;
  for (const Sample& sample : profile.samples) {
    if (!filter.Keeps(sample)) continue;
    Add(sample.values[type], &sums[LabelText(profile, sample, key).value_or(kNoLabel)]);
  }
  std::vector<Row> rows;
  for (const auto& [name, sum] : sums) rows.push_back({name, "", 0, "", sum, sum});
  return rows;
}

std::vector<Row> StackRows(const Profile& profile, GroupBy group_by, uint32_t type,
                           const FilterPass& filter) {
  Frames frames(profile, group_by);
  RowCounter counter(&frames);
  for (const Sample& sample : profile.samples) {
    if (filter.Keeps(sample)) counter.Count(sample, sample.values[type]);
  }
  return std::move(frames.rows());
}

class TreeMaker {
 public:
  TreeMaker() {
    tree_.frames.emplace_back();
    tree_.nodes.emplace_back();
  }

  // `above`: a frame above the outermost one; empty: none.
  void Count(const Sample& sample, int64_t value, const std::string& above, Frames* frames) {
    uint32_t node = 0;
    Add(value, &tree_.nodes[0].cumulative);
    if (!above.empty()) node = Enter(0, LabelFrame(above), value);
    for (auto location = sample.locations.rbegin(); location != sample.locations.rend();
         ++location) {
      const std::vector<uint32_t>& rows = frames->Of(*location);
      for (auto row = rows.rbegin(); row != rows.rend(); ++row)
        node = Enter(node, FrameOf(*row, *frames), value);
    }
    Add(value, &tree_.nodes[node].flat);
  }

  CallTree Take() {
    const auto heavier = [&](uint32_t a, uint32_t b) {
      const CallNode& x = tree_.nodes[a];
      const CallNode& y = tree_.nodes[b];
      return std::make_tuple(~Magnitude(x.cumulative), std::string_view(tree_.FrameOf(x).name), a) <
             std::make_tuple(~Magnitude(y.cumulative), std::string_view(tree_.FrameOf(y).name), b);
    };
    for (CallNode& node : tree_.nodes)
      std::sort(node.children.begin(), node.children.end(), heavier);
    return std::move(tree_);
  }

 private:
  uint32_t LabelFrame(const std::string& name) {
    const auto [entry, fresh] = labels_.try_emplace(name, 0);
    if (fresh) entry->second = NewFrame({name, "", 0, "", true});
    return entry->second;
  }

  uint32_t FrameOf(uint32_t row, Frames& frames) {
    const auto [entry, fresh] = frame_of_row_.try_emplace(row, 0);
    if (fresh) {
      const Row& from = frames.rows()[row];
      entry->second = NewFrame({from.name, from.file, from.line, from.mapping, false});
    }
    return entry->second;
  }

  uint32_t NewFrame(Frame frame) {
    tree_.frames.push_back(std::move(frame));
    return static_cast<uint32_t>(tree_.frames.size() - 1);
  }

  uint32_t Enter(uint32_t parent, uint32_t frame, int64_t value) {
    const uint64_t key = uint64_t{parent} << 32 | frame;
    const auto next = static_cast<uint32_t>(tree_.nodes.size());
    const auto [entry, fresh] = children_.try_emplace(key, next);
    if (fresh) {
      tree_.nodes.push_back({frame, 0, 0, {}});
      tree_.nodes[parent].children.push_back(next);
    }
    Add(value, &tree_.nodes[entry->second].cumulative);
    return entry->second;
  }

  CallTree tree_;
  std::unordered_map<uint32_t, uint32_t> frame_of_row_;
  std::unordered_map<std::string, uint32_t> labels_;
  std::unordered_map<uint64_t, uint32_t> children_;  // parent and frame -> node
};

}  // namespace

std::optional<std::string> LabelText(const Profile& profile, const Sample& sample,
                                     std::string_view key) {
  for (const Label& label : sample.labels) {
    if (profile.Text(label.key) != key) continue;
    return label.text != 0 ? profile.Text(label.text) : std::to_string(label.number);
  }
  return std::nullopt;
}

void ApplyFilter(const Filter& filter, Profile* profile) {
  const FilterPass pass(*profile, filter);
  std::erase_if(profile->samples, [&](const Sample& sample) { return !pass.Keeps(sample); });
}

NameMatcher ContainsText(std::string text) {
  return [text = std::move(text)](std::string_view name) {
    return name.find(text) != std::string_view::npos;
  };
}

std::string AddressName(const Profile& profile, const Location& location) {
  if (location.mapping == kNone) return "0x" + Hex(location.address);
  const Mapping& mapping = profile.mappings[location.mapping];
  const std::string& file = profile.Text(mapping.file);
  if (file.empty()) return "0x" + Hex(location.address);
  return UnnamedFunction(file, location.address - mapping.start + mapping.offset);
}

Result<uint32_t> ChooseSampleType(const Profile& profile, const std::string& type) {
  if (profile.sample_types.empty()) return Error{"the profile has no sample types"};
  const std::string& wanted = type.empty() ? profile.Text(profile.default_sample_type) : type;
  const uint32_t found = profile.SampleTypeIndex(wanted);
  if (found != kNone) return found;
  if (type.empty()) return static_cast<uint32_t>(profile.sample_types.size() - 1);
  std::string known;
  for (const ValueType& t : profile.sample_types) known += " " + profile.Text(t.type);
  return Error{"no sample type \"" + type + "\", expected one of:" + known};
}

Result<Report> MakeReport(const Profile& profile, const ReportOptions& options) {
  const auto type = ChooseSampleType(profile, options.sample_type);
  if (!type) return Error{type.error()};
  const FilterPass filter(profile, options.filter);
  Report report;
  report.type = profile.Text(profile.sample_types[*type].type);
  report.unit = profile.Text(profile.sample_types[*type].unit);
  for (const Sample& sample : profile.samples) {
    const int64_t value = sample.values[*type];
    Add(value, &report.total);
    Add(static_cast<int64_t>(Magnitude(value)), &report.total_absolute);
    if (filter.Keeps(sample)) Add(value, &report.filtered);
  }
  report.rows = options.group_by == GroupBy::kLabel
                    ? LabelRows(profile, options.label_key, *type, filter)
                    : StackRows(profile, options.group_by, *type, filter);
  SortRows(&report.rows);
  return report;
}

Result<CallTree> MakeCallTree(const Profile& profile, const ReportOptions& options) {
  const auto type = ChooseSampleType(profile, options.sample_type);
  if (!type) return Error{type.error()};
  const FilterPass filter(profile, options.filter);
  const bool by_label = options.group_by == GroupBy::kLabel;
  Frames frames(profile, by_label ? GroupBy::kFunction : options.group_by);
  TreeMaker maker;
  for (const Sample& sample : profile.samples) {
    if (!filter.Keeps(sample)) continue;
    std::string above;
    if (by_label) above = LabelText(profile, sample, options.label_key).value_or(kNoLabel);
    maker.Count(sample, sample.values[*type], above, &frames);
  }
  CallTree tree = maker.Take();
  tree.type = profile.Text(profile.sample_types[*type].type);
  tree.unit = profile.Text(profile.sample_types[*type].unit);
  return tree;
}

}  // namespace sonde::pprof
