// SPDX-License-Identifier: Apache-2.0
#include "cli/add_lines.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "cli/verbs/verbs.h"
#include "profile/demangle.h"
#include "profile/elf_file.h"
#include "profile/symbolizer.h"
#include "profile/unnamed.h"

namespace sonde::cli {
namespace {

constexpr size_t kMaxProblems = 20;
constexpr uint64_t kPageBytes = 4096;

bool HasLine(const pprof::Location& location) {
  return std::any_of(location.lines.begin(), location.lines.end(),
                     [](const pprof::Line& line) { return line.line > 0; });
}

// The link-time address of a mapped one.
std::optional<uint64_t> LinkAddress(const ElfFile& elf, bool is_debug_file,
                                    const pprof::Mapping& mapping, uint64_t address) {
  if (address < mapping.start || address >= mapping.limit) return std::nullopt;
  if (!is_debug_file) return elf.OffsetToAddress(address - mapping.start + mapping.offset);
  // A debug file has the segments' addresses, but not their offsets: with one executable segment
  // the mapping is that segment from its first page on.
  std::optional<uint64_t> start;
  for (const ElfSegment& segment : elf.segments()) {
    if (!segment.executable) continue;
    if (start) return std::nullopt;
    start = segment.address & ~(kPageBytes - 1);
  }
  if (!start) return std::nullopt;
  return *start + (address - mapping.start);
}

class LineAdder {
 public:
  LineAdder(const LineOptions& options, const ObjectPlaces& places, pprof::Profile* profile)
      : options_(options),
        store_(places.root, options.debug_dirs, options.mode == "on" ? places.fetch : nullptr),
        profile_(profile),
        strings_(&profile->strings) {
    for (uint32_t i = 0; i < profile->functions.size(); ++i) {
      const pprof::Function& f = profile->functions[i];
      functions_.try_emplace({f.name, f.system_name, f.file, f.start_line}, i);
    }
  }

  LineOutcome Run(const WorkerLimits& limits) {
    std::vector<std::vector<uint32_t>> locations(profile_->mappings.size());
    for (uint32_t i = 0; i < profile_->locations.size(); ++i) {
      const pprof::Location& location = profile_->locations[i];
      if (location.mapping != pprof::kNone && !HasLine(location))
        locations[location.mapping].push_back(i);
    }
    for (uint32_t i = 0; i < locations.size(); ++i)
      if (!locations[i].empty()) Prepare(i, locations[i]);
    for (const std::string& problem :
         RunLineWorker(requests_, DebugPath(), limits,
                       [this](size_t request, size_t index, const std::vector<SourceFrame>&frames) {
                         for (const uint32_t location : targets_[request][index])
                           Apply(location, frames);
                       }))
      Note(problem);
    return std::move(outcome_);
  }

 private:
  void Note(const std::string& problem) {
    if (outcome_.problems.size() < kMaxProblems) outcome_.problems.push_back(problem);
  }

  // As libdwfl takes it: "+" keeps its checks, relative names lie beside the object.
  std::string DebugPath() const {
    std::string path = "+:.debug";
    for (const std::string& directory : options_.debug_dirs) path += ":" + directory;
    return path + ":/usr/lib/debug";
  }

  // Finds the object, names what has no name, and asks for the lines.
  void Prepare(uint32_t index, const std::vector<uint32_t>& locations) {
    const pprof::Mapping mapping = profile_->mappings[index];
    const std::string path = profile_->Text(mapping.file);
    if (path.empty() || path[0] != '/' || path.starts_with("//")) return;
    outcome_.wanted += locations.size();
    std::string problem;
    const auto found =
        store_.Find({path, profile_->Text(mapping.build_id), profile_->time_nanos}, &problem);
    if (!found) return Note(path + ": " + problem);
    auto source = OpenFile(found->path);
    if (!source.ok()) return Note(source.error());
    const auto elf = ElfFile::Open(std::move(*source));
    if (!elf.ok()) return Note(path + ": " + elf.error());
    if (!found->is_debug_file) NameNameless(index, found->path, locations);
    Ask(path, *found, **elf, mapping, locations);
  }

  void Ask(const std::string& path, const ObjectStore::Found& found, const ElfFile& elf,
           const pprof::Mapping& mapping, const std::vector<uint32_t>& locations) {
    std::map<uint64_t, std::vector<uint32_t>> by_address;
    for (const uint32_t location : locations) {
      const auto address =
          LinkAddress(elf, found.is_debug_file, mapping, profile_->locations[location].address);
      if (address) by_address[*address].push_back(location);
    }
    LineRequest request{path, found.path, {}};
    std::vector<std::vector<uint32_t>>& targets = targets_.emplace_back();
    for (auto& [address, who] : by_address) {
      request.addresses.push_back(address);
      targets.push_back(std::move(who));
    }
    requests_.push_back(std::move(request));
  }

  void NameNameless(uint32_t index, const std::string& path,
                    const std::vector<uint32_t>& locations) {
    SymbolizerOptions options;
    options.open = [&path](const Mapping&) { return OpenFile(path); };
    pprof::Mapping& mapping = profile_->mappings[index];
    options.debug_root = store_.DebugRoot(profile_->Text(mapping.build_id));
    Symbolizer symbolizer(std::move(options));
    Mapping mapped;
    mapped.start = mapping.start;
    mapped.limit = mapping.limit;
    mapped.offset = mapping.offset;
    mapped.path = profile_->Text(mapping.file);
    mapped.build_id = profile_->Text(mapping.build_id);
    for (const uint32_t i : locations) {
      pprof::Location& location = profile_->locations[i];
      if (!NameIn(location).empty()) continue;
      const Symbol symbol = symbolizer.Lookup(mapped, location.address);
      if (symbol.name.empty() && symbol.unnamed_start == 0) continue;
      if (!symbol.name.empty()) mapping.has_functions = true;
      const std::string name =
          symbol.name.empty() ? UnnamedFunction(mapped.path, symbol.unnamed_start) : symbol.name;
      location.lines = {{FunctionOf(name, name, "", 0), 0}};
      outcome_.changed = true;
    }
  }

  // Of the outermost function.
  std::string TextIn(const pprof::Location& location) const {
    if (location.lines.empty() || location.lines.back().function == pprof::kNone) return "";
    return profile_->Text(profile_->functions[location.lines.back().function].name);
  }

  // The same; empty: it has none but what was made of its address.
  std::string NameIn(const pprof::Location& location) const {
    std::string name = TextIn(location);
    const std::string& path = profile_->Text(profile_->mappings[location.mapping].file);
    return IsUnnamedFunction(name, path) ? "" : name;
  }

  uint32_t FunctionOf(const std::string& name, const std::string& system_name,
                      const std::string& file, int64_t start_line) {
    const pprof::Function function = {strings_.Intern(name), strings_.Intern(system_name),
                                      strings_.Intern(file), start_line};
    const auto next = static_cast<uint32_t>(profile_->functions.size());
    const auto [entry, fresh] = functions_.try_emplace(
        {function.name, function.system_name, function.file, function.start_line}, next);
    if (fresh) profile_->functions.push_back(function);
    return entry->second;
  }

  // The outermost function keeps the name that it has: the symbol table knows parts and clones.
  void Apply(uint32_t index, const std::vector<SourceFrame>& frames) {
    pprof::Location& location = profile_->locations[index];
    const std::string outermost = NameIn(location);
    std::vector<pprof::Line> lines;
    for (size_t i = 0; i < frames.size(); ++i) {
      const SourceFrame& frame = frames[i];
      const bool last = i + 1 == frames.size();
      std::string name = last && !outermost.empty() ? outermost : Demangle(frame.function);
      if (name.empty() && last) name = TextIn(location);
      if (name.empty()) return;
      lines.push_back({FunctionOf(name, frame.function.empty() ? name : frame.function, frame.file,
                                  frame.start_line),
                       frame.line});
    }
    if (lines.empty()) return;
    location.lines = std::move(lines);
    pprof::Mapping& mapping = profile_->mappings[location.mapping];
    mapping.has_functions = mapping.has_filenames = mapping.has_line_numbers = true;
    mapping.has_inline_frames = true;
    outcome_.changed = true;
    ++outcome_.found;
  }

  const LineOptions& options_;
  ObjectStore store_;
  pprof::Profile* profile_;
  pprof::StringTable strings_;
  std::map<std::tuple<uint32_t, uint32_t, uint32_t, int64_t>, uint32_t> functions_;
  std::vector<LineRequest> requests_;
  std::vector<std::vector<std::vector<uint32_t>>> targets_;  // request, address -> locations
  LineOutcome outcome_;
};

}  // namespace

void AddLineOptions(CLI::App* verb, LineOptions* options) {
  verb->add_option("--lines", options->mode,
                   "Source lines and inlined functions: from the objects of this machine (auto), "
                   "also from objects fetched from the agent (on), none (off)")
      ->check(OneOf({"auto", "on", "off"}))
      ->type_name("auto|on|off")
      ->capture_default_str();
  verb->add_option("--debug-dir", options->debug_dirs,
                   "Where separate debug files are, as in /usr/lib/debug; repeatable")
      ->type_name("DIR")
      ->expected(1)
      ->take_all();
}

LineOutcome AddLines(const LineOptions& options, const ObjectPlaces& places,
                     pprof::Profile* profile, const WorkerLimits& limits) {
  if (options.mode == "off") return {};
  return LineAdder(options, places, profile).Run(limits);
}

std::string DescribeLines(const LineOutcome& outcome) {
  if (outcome.wanted == 0) return "";
  std::string text = std::to_string(outcome.found) + " of " + std::to_string(outcome.wanted) +
                     " addresses have a line";
  for (const std::string& problem : outcome.problems) text += "; " + problem;
  return text;
}

}  // namespace sonde::cli
