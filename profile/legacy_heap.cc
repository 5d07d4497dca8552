// SPDX-License-Identifier: Apache-2.0
#include "profile/legacy_heap.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "profile/mappings.h"
#include "profile/symbolizer.h"

namespace sonde::pprof {
namespace {

constexpr std::string_view kGperftoolsHead = "heap profile:";
constexpr std::string_view kJemallocHead = "heap_v2/";
constexpr std::string_view kMappings = "MAPPED_LIBRARIES:";

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return Trimmed(line);
}

void SkipBlanks(std::string_view* text) {
  text->remove_prefix(std::min(text->find_first_not_of(" \t"), text->size()));
}

bool TakeWord(std::string_view* text, std::string_view word) {
  SkipBlanks(text);
  if (!text->starts_with(word)) return false;
  text->remove_prefix(word.size());
  return true;
}

bool TakeNumber(std::string_view* text, int64_t* value) {
  SkipBlanks(text);
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *value);
  if (error != std::errc() || *value < 0) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

struct Counts {
  int64_t inuse_objects = 0;
  int64_t inuse_bytes = 0;
  int64_t alloc_objects = 0;
  int64_t alloc_bytes = 0;
};

// "1: 40 [ 5: 200]"; the part in brackets may be missing.
bool TakeCounts(std::string_view* line, Counts* counts) {
  if (!TakeNumber(line, &counts->inuse_objects) || !TakeWord(line, ":") ||
      !TakeNumber(line, &counts->inuse_bytes))
    return false;
  if (!TakeWord(line, "[")) return true;
  return TakeNumber(line, &counts->alloc_objects) && TakeWord(line, ":") &&
         TakeNumber(line, &counts->alloc_bytes) && TakeWord(line, "]");
}

// "0x1f 0x2e"
bool TakeAddresses(std::string_view line, size_t most, std::vector<uint64_t>* addresses) {
  for (SkipBlanks(&line); !line.empty(); SkipBlanks(&line)) {
    uint64_t address = 0;
    if (!TakeWord(&line, "0x")) return false;
    const auto [end, error] =
        std::from_chars(line.data(), line.data() + line.size(), address, /*base=*/16);
    if (error != std::errc()) return false;
    line.remove_prefix(static_cast<size_t>(end - line.data()));
    if (addresses->size() < most) addresses->push_back(address);
  }
  return true;
}

// What one sampled block of that size stands for.
double ScaleOf(int64_t objects, int64_t bytes, int64_t interval) {
  if (interval <= 1 || objects <= 0 || bytes <= 0) return 1;
  const double mean = static_cast<double>(bytes) / static_cast<double>(objects);
  return 1 / -std::expm1(-mean / static_cast<double>(interval));
}

int64_t Scaled(int64_t value, double scale) {
  constexpr double kMost = 9e18;
  return static_cast<int64_t>(std::min(static_cast<double>(value) * scale, kMost));
}

class Parser {
 public:
  Parser(std::string_view text, const LegacyHeapLimits& limits) : rest_(text), limits_(limits) {}

  Result<Profile> Parse() {
    if (rest_.size() > limits_.max_bytes)
      return Error{"a heap profile of at most " + std::to_string(limits_.max_bytes) +
                   " bytes was expected"};
    if (!TakeHead(NextLine())) return Wrong("\"heap profile: …\" or \"heap_v2/N\"");
    while (!rest_.empty()) {
      const std::string_view line = NextLine();
      if (line.starts_with(kMappings)) break;
      if (line.empty() || line.front() == '#') continue;
      if (!TakeStackLine(line))
        return Wrong("counts and addresses of a stack, or " + std::string(kMappings));
      if (profile_.samples.size() > limits_.max_stacks)
        return Error{"at most " + std::to_string(limits_.max_stacks) + " stacks were expected"};
    }
    Finish();
    return std::move(profile_);
  }

 private:
  std::string_view NextLine() {
    ++line_number_;
    return TakeLine(&rest_);
  }

  [[nodiscard]] Error Wrong(const std::string& expected) const {
    return Error{"line " + std::to_string(line_number_) + ": " + expected + " was expected"};
  }

  bool TakeHead(std::string_view line) {
    if (line.starts_with(kJemallocHead)) {
      is_jemalloc_ = true;
      line.remove_prefix(kJemallocHead.size());
      return TakeNumber(&line, &interval_) && line.empty();
    }
    Counts total;
    if (!TakeWord(&line, kGperftoolsHead) || !TakeCounts(&line, &total) || !TakeWord(&line, "@"))
      return false;
    return TakeKind(Trimmed(line));
  }

  // "heapprofile", "heap_v2/524288", "heap/1048576"
  bool TakeKind(std::string_view kind) {
    if (kind == "heapprofile") return true;
    const size_t slash = kind.find('/');
    if (slash == kind.npos) return kind == "heap" || kind == "heap_v2";
    const std::string_view name = kind.substr(0, slash);
    kind.remove_prefix(slash + 1);
    if (name != "heap" && name != "heap_v2" && name != "heapz_v2") return false;
    if (!TakeNumber(&kind, &interval_) || !kind.empty()) return false;
    if (name == "heap") interval_ /= 2;
    return true;
  }

  bool TakeStackLine(std::string_view line) {
    return is_jemalloc_ ? TakeJemallocLine(line) : TakeGperftoolsLine(line);
  }

  bool TakeGperftoolsLine(std::string_view line) {
    Counts counts;
    std::vector<uint64_t> addresses;
    if (!TakeCounts(&line, &counts) || !TakeWord(&line, "@")) return false;
    if (!TakeAddresses(line, limits_.max_frames, &addresses)) return false;
    AddSample(counts, addresses);
    return true;
  }

  // "@ addresses", then "t*: counts" of all threads and "t3: counts" of one.
  bool TakeJemallocLine(std::string_view line) {
    if (line.front() == '@') {
      stack_.emplace();
      return TakeAddresses(line.substr(1), limits_.max_frames, &*stack_);
    }
    if (line.front() != 't') return false;
    if (!line.starts_with("t*:") || !stack_) return line.find(':') != line.npos;
    line.remove_prefix(3);
    Counts counts;
    if (!TakeCounts(&line, &counts)) return false;
    AddSample(counts, *stack_);
    return true;
  }

  void AddSample(const Counts& counts, const std::vector<uint64_t>& addresses) {
    const double live = ScaleOf(counts.inuse_objects, counts.inuse_bytes, interval_);
    const double all = ScaleOf(counts.alloc_objects, counts.alloc_bytes, interval_);
    Sample sample;
    sample.values = {Scaled(counts.alloc_objects, all), Scaled(counts.alloc_bytes, all),
                     Scaled(counts.inuse_objects, live), Scaled(counts.inuse_bytes, live)};
    for (const uint64_t address : addresses) sample.locations.push_back(LocationOf(address));
    profile_.samples.push_back(std::move(sample));
  }

  // All are return addresses: the call is before.
  uint32_t LocationOf(uint64_t address) {
    if (address != 0) --address;
    const auto [at, is_new] =
        locations_.try_emplace(address, static_cast<uint32_t>(profile_.locations.size()));
    if (is_new) {
      Location location;
      location.address = address;
      profile_.locations.push_back(location);
    }
    return at->second;
  }

  void Finish() {
    StringTable strings(&profile_.strings);
    const StringId count = strings.Intern("count");
    const StringId bytes = strings.Intern("bytes");
    profile_.sample_types = {{strings.Intern("alloc_objects"), count},
                             {strings.Intern("alloc_space"), bytes},
                             {strings.Intern("inuse_objects"), count},
                             {strings.Intern("inuse_space"), bytes}};
    profile_.default_sample_type = strings.Intern("inuse_space");
    profile_.period_type = {strings.Intern("space"), bytes};
    profile_.period = std::max<int64_t>(interval_, 1);
    AddMappings(&strings);
  }

  void AddMappings(StringTable* strings) {
    const std::vector<sonde::Mapping> mappings = ParseMaps(rest_).mappings;
    for (const sonde::Mapping& from : mappings) {
      Mapping to;
      to.start = from.start;
      to.limit = from.limit;
      to.offset = from.offset;
      to.file = strings->Intern(from.path);
      profile_.mappings.push_back(to);
    }
    for (Location& location : profile_.locations) {
      const auto after = std::upper_bound(
          mappings.begin(), mappings.end(), location.address,
          [](uint64_t address, const sonde::Mapping& mapping) { return address < mapping.start; });
      if (after != mappings.begin() && std::prev(after)->Contains(location.address))
        location.mapping = static_cast<uint32_t>(std::prev(after) - mappings.begin());
    }
  }

  std::string_view rest_;
  const LegacyHeapLimits limits_;
  Profile profile_;
  std::map<uint64_t, uint32_t> locations_;
  std::optional<std::vector<uint64_t>> stack_;  // jemalloc: whose counts follow
  int64_t interval_ = 0;
  size_t line_number_ = 0;
  bool is_jemalloc_ = false;
};

}  // namespace

bool LooksLikeLegacyHeap(std::string_view text) {
  return text.starts_with(kGperftoolsHead) || text.starts_with(kJemallocHead);
}

Result<Profile> ParseLegacyHeap(std::string_view text, const LegacyHeapLimits& limits) {
  return Parser(text, limits).Parse();
}

void SymbolizeFromFiles(Profile* profile) {
  SymbolizerOptions options;
  options.max_index_bytes = size_t{256} << 20;
  options.max_name_bytes = size_t{64} << 20;
  options.max_objects = 256;
  Symbolizer symbolizer(std::move(options));
  StringTable strings(&profile->strings);
  std::map<StringId, uint32_t> functions;
  for (Location& location : profile->locations) {
    if (location.mapping == kNone || !location.lines.empty()) continue;
    Mapping& in = profile->mappings[location.mapping];
    sonde::Mapping mapping;
    mapping.start = in.start;
    mapping.limit = in.limit;
    mapping.offset = in.offset;
    mapping.path = profile->Text(in.file);
    const Symbol symbol = symbolizer.Lookup(mapping, location.address);
    if (symbol.name.empty()) continue;
    const StringId name = strings.Intern(symbol.name);
    const auto [at, is_new] =
        functions.try_emplace(name, static_cast<uint32_t>(profile->functions.size()));
    if (is_new) profile->functions.push_back({name, name, 0, 0});
    location.lines = {{at->second, 0}};
    in.has_functions = true;
  }
}

}  // namespace sonde::pprof
