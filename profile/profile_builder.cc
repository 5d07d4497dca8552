// SPDX-License-Identifier: Apache-2.0
#include "profile/profile_builder.h"

#include <algorithm>
#include <map>
#include <new>
#include <tuple>
#include <utility>

#include "profile/encode.h"
#include "profile/unnamed.h"

namespace sonde {
namespace {

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 29);
}

auto MappingKey(const Mapping& m) {
  return std::tie(m.start, m.limit, m.offset, m.path, m.build_id, m.pid);
}

struct MappingLess {
  bool operator()(const Mapping* a, const Mapping* b) const {
    return MappingKey(*a) < MappingKey(*b);
  }
};

// Counters wrap rather than overflow: a wrong sum is better than undefined behaviour.
int64_t Sum(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace

// One Finish(): turns what is stored into a Profile, then is gone, so a failure half-way leaves no
// trace.
class ProfileBuilder::Output {
 public:
  Output(const ProfileBuilder& builder, Symbolizer* symbolizer)
      : builder_(builder), symbolizer_(symbolizer), strings_(&profile_.strings) {}

  pprof::Profile Make() {
    WriteHeader();
    ChooseMappings();
    SymbolizeAll();
    for (const Stored& sample : builder_.samples_) WriteSample(sample);
    WriteComments();
    return std::move(profile_);
  }

 private:
  struct Place {  // one address of one process
    size_t space;
    uint64_t address;
    auto operator<=>(const Place&) const = default;
  };

  void WriteHeader();
  void ChooseMappings();
  void ReadPerfMaps(const std::vector<Place>& places);
  void SymbolizeAll();
  void WriteSample(const Stored& sample);
  void WriteComments();
  const Mapping* MappingAt(const Place& place) const;
  std::vector<Place> AllPlaces() const;
  uint32_t MappingIndex(const Mapping& mapping);
  uint32_t LocationOf(const Place& place);
  uint32_t LocationOfName(uint32_t name);
  uint32_t NewLocation(pprof::Location location);
  uint32_t FunctionOf(const std::string& name);
  uint32_t FunctionAt(const Mapping& mapping, uint32_t index, uint64_t address);

  const ProfileBuilder& builder_;
  Symbolizer* symbolizer_;
  pprof::Profile profile_;
  pprof::StringTable strings_;
  std::vector<std::vector<const Mapping*>> sorted_;  // by address, one list a space
  std::map<const Mapping*, uint32_t, MappingLess> mapping_ids_;
  std::map<std::pair<uint32_t, uint64_t>, uint32_t> location_ids_;  // mapping, address
  std::unordered_map<uint32_t, uint32_t> name_locations_;
  std::unordered_map<pprof::StringId, uint32_t> function_ids_;
  std::map<Place, uint32_t> places_;
  size_t unnamed_for_memory_ = 0;
};

void ProfileBuilder::Output::WriteHeader() {
  const ProfileOptions& o = builder_.options_;
  const auto type = [&](const ProfileOptions::Type& t) {
    return pprof::ValueType{strings_.Intern(t.type), strings_.Intern(t.unit)};
  };
  for (const auto& t : o.sample_types) profile_.sample_types.push_back(type(t));
  profile_.period_type = type(o.period_type);
  profile_.period = o.period;
  profile_.time_nanos = o.time_nanos;
  profile_.duration_nanos = o.duration_nanos;
  profile_.default_sample_type = strings_.Intern(o.default_sample_type);
}

// The main program is mapping 0 even when no sample lies in it; the others come as they are used.
void ProfileBuilder::Output::ChooseMappings() {
  for (const auto& space : builder_.spaces_) {
    std::vector<const Mapping*> sorted;
    for (const Mapping& mapping : space) sorted.push_back(&mapping);
    std::sort(sorted.begin(), sorted.end(),
              [](const Mapping* a, const Mapping* b) { return a->start < b->start; });
    sorted_.push_back(std::move(sorted));
  }
  if (!builder_.spaces_.front().empty()) MappingIndex(builder_.spaces_.front().front());
}

const Mapping* ProfileBuilder::Output::MappingAt(const Place& place) const {
  const auto& all = sorted_[place.space];
  const auto above =
      std::upper_bound(all.begin(), all.end(), place.address,
                       [](uint64_t address, const Mapping* m) { return address < m->start; });
  if (above == all.begin()) return nullptr;
  const Mapping* mapping = *(above - 1);
  return mapping->Contains(place.address) ? mapping : nullptr;
}

uint32_t ProfileBuilder::Output::MappingIndex(const Mapping& mapping) {
  const auto next = static_cast<uint32_t>(profile_.mappings.size());
  const auto [entry, fresh] = mapping_ids_.try_emplace(&mapping, next);
  if (!fresh) return entry->second;
  pprof::Mapping out;
  out.start = mapping.start;
  out.limit = mapping.limit;
  out.offset = mapping.offset;
  out.file = strings_.Intern(mapping.path);
  out.build_id = strings_.Intern(mapping.build_id);
  profile_.mappings.push_back(out);
  return next;
}

std::vector<ProfileBuilder::Output::Place> ProfileBuilder::Output::AllPlaces() const {
  std::vector<Place> places;
  for (const Stored& sample : builder_.samples_) {
    for (const uint64_t address : sample.addresses)
      places.push_back({sample.address_space, address});
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

// A perf map is read once for all addresses of its process.
void ProfileBuilder::Output::ReadPerfMaps(const std::vector<Place>& places) {
  std::map<int, std::vector<uint64_t>> generated;
  for (const Place& place : places) {
    const Mapping* mapping = MappingAt(place);
    if (mapping != nullptr && mapping->IsGenerated() && mapping->pid != 0)
      generated[mapping->pid].push_back(place.address);
  }
  for (auto& [pid, addresses] : generated) {
    std::sort(addresses.begin(), addresses.end());
    try {
      symbolizer_->ReadPerfMap(pid, addresses);
    } catch (const std::bad_alloc&) {
      unnamed_for_memory_ += addresses.size();
    }
  }
}

// In address order, which is what the symbolizer is cheapest at.
void ProfileBuilder::Output::SymbolizeAll() {
  const std::vector<Place> places = AllPlaces();
  if (symbolizer_ != nullptr) ReadPerfMaps(places);
  for (const Place& place : places) places_.emplace_hint(places_.end(), place, LocationOf(place));
}

uint32_t ProfileBuilder::Output::NewLocation(pprof::Location location) {
  profile_.locations.push_back(std::move(location));
  return static_cast<uint32_t>(profile_.locations.size() - 1);
}

// Processes that share a mapping share its locations.
uint32_t ProfileBuilder::Output::LocationOf(const Place& place) {
  const Mapping* mapping = MappingAt(place);
  const uint32_t index = mapping == nullptr ? pprof::kNone : MappingIndex(*mapping);
  const auto [entry, fresh] = location_ids_.try_emplace({index, place.address}, 0);
  if (!fresh) return entry->second;
  pprof::Location location;
  location.mapping = index;
  location.address = place.address;
  if (mapping != nullptr && symbolizer_ != nullptr) {
    const uint32_t function = FunctionAt(*mapping, index, place.address);
    if (function != pprof::kNone) location.lines.push_back({function, 0});
  }
  entry->second = NewLocation(std::move(location));
  return entry->second;
}

uint32_t ProfileBuilder::Output::FunctionAt(const Mapping& mapping, uint32_t index,
                                            uint64_t address) {
  Symbol symbol;
  try {
    symbol = symbolizer_->Lookup(mapping, address);
  } catch (const std::bad_alloc&) {
    ++unnamed_for_memory_;
    return pprof::kNone;
  }
  // Not has_functions: whoever has the symbols shall look for them.
  if (symbol.unnamed_start != 0)
    return FunctionOf(UnnamedFunction(mapping.path, symbol.unnamed_start));
  if (symbol.name.empty()) return pprof::kNone;
  profile_.mappings[index].has_functions = true;
  return FunctionOf(symbol.name);
}

uint32_t ProfileBuilder::Output::FunctionOf(const std::string& name) {
  const pprof::StringId id = strings_.Intern(name);
  const auto next = static_cast<uint32_t>(profile_.functions.size());
  const auto [entry, fresh] = function_ids_.try_emplace(id, next);
  if (fresh) profile_.functions.push_back({id, id, 0, 0});
  return entry->second;
}

uint32_t ProfileBuilder::Output::LocationOfName(uint32_t name) {
  const auto [entry, fresh] = name_locations_.try_emplace(name, 0);
  if (!fresh) return entry->second;
  pprof::Location location;
  location.lines.push_back({FunctionOf(builder_.names_[name]), 0});
  entry->second = NewLocation(std::move(location));
  return entry->second;
}

void ProfileBuilder::Output::WriteSample(const Stored& sample) {
  pprof::Sample out;
  out.values = sample.values;
  for (uint32_t i = 0; i < sample.leaf_names; ++i) {
    out.locations.push_back(LocationOfName(sample.names[i]));
  }
  for (const uint64_t address : sample.addresses) {
    out.locations.push_back(places_.find({sample.address_space, address})->second);
  }
  for (size_t i = sample.leaf_names; i < sample.names.size(); ++i) {
    out.locations.push_back(LocationOfName(sample.names[i]));
  }
  const auto text = [&](uint32_t id) { return strings_.Intern(builder_.names_[id]); };
  for (const pprof::Label& label : sample.labels) {
    out.labels.push_back({text(label.key), text(label.text), label.number, text(label.unit)});
  }
  profile_.samples.push_back(std::move(out));
}

void ProfileBuilder::Output::WriteComments() {
  for (const auto& c : builder_.options_.comments) profile_.comments.push_back(strings_.Intern(c));
  if (unnamed_for_memory_ == 0) return;
  profile_.comments.push_back(strings_.Intern("sonde: " + std::to_string(unnamed_for_memory_) +
                                              " locations have no name: out of memory"));
}

ProfileBuilder::ProfileBuilder(ProfileOptions options)
    : options_(std::move(options)), spaces_(1), name_ids_(&names_) {}

void ProfileBuilder::SetMappings(std::vector<Mapping> mappings) {
  spaces_.front() = std::move(mappings);
}

size_t ProfileBuilder::AddMappings(std::vector<Mapping> mappings) {
  spaces_.push_back(std::move(mappings));
  return spaces_.size() - 1;
}

uint32_t ProfileBuilder::InternName(std::string_view name) {
  return name_ids_.Intern(std::string(name));
}

ProfileBuilder::Stored ProfileBuilder::Store(const SampleInput& sample) {
  Stored out;
  out.address_space = sample.address_space;
  out.leaf_names = static_cast<uint32_t>(sample.leaf_names.size());
  for (const std::string_view name : sample.leaf_names) out.names.push_back(InternName(name));
  for (const std::string_view name : sample.root_names) out.names.push_back(InternName(name));
  out.addresses.reserve(sample.frames.size());
  for (size_t i = 0; i < sample.frames.size(); ++i) {
    const bool back = (i != 0 || sample.leaf_is_return_address) && sample.frames[i] != 0;
    out.addresses.push_back(sample.frames[i] - (back ? 1 : 0));
  }
  for (const SampleLabel& label : sample.labels) {
    out.labels.push_back(
        {InternName(label.key), InternName(label.text), label.number, InternName(label.unit)});
  }
  out.values.assign(sample.values.begin(), sample.values.end());
  return out;
}

uint64_t ProfileBuilder::Hash(const Stored& sample) {
  uint64_t hash = Mix(sample.address_space, sample.leaf_names);
  for (const uint32_t name : sample.names) hash = Mix(hash, name);
  for (const uint64_t address : sample.addresses) hash = Mix(hash, address);
  for (const pprof::Label& label : sample.labels) {
    hash = Mix(Mix(hash, label.key), Mix(label.text, static_cast<uint64_t>(label.number)));
  }
  return hash;
}

bool ProfileBuilder::SameStack(const Stored& a, const Stored& b) {
  return a.address_space == b.address_space && a.leaf_names == b.leaf_names && a.names == b.names &&
         a.addresses == b.addresses && a.labels == b.labels;
}

bool ProfileBuilder::AddSample(const SampleInput& sample) {
  if (sample.values.size() != options_.sample_types.size()) return false;
  if (sample.address_space >= spaces_.size()) return false;
  Stored stored = Store(sample);
  const uint64_t hash = Hash(stored);
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto entry = begin; entry != end; ++entry) {
    Stored& known = samples_[entry->second];
    if (!SameStack(known, stored)) continue;
    std::transform(known.values.begin(), known.values.end(), stored.values.begin(),
                   known.values.begin(), Sum);
    return true;
  }
  samples_.push_back(std::move(stored));
  try {
    by_hash_.emplace(hash, samples_.size() - 1);
  } catch (...) {
    samples_.pop_back();
    throw;
  }
  return true;
}

pprof::Profile ProfileBuilder::Build(Symbolizer* symbolizer) const {
  return Output(*this, symbolizer).Make();
}

std::string ProfileBuilder::Finish(Symbolizer* symbolizer) const {
  return pprof::EncodeGz(Build(symbolizer));
}

}  // namespace sonde
