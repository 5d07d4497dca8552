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

auto MappingKey(const Mapping& m) {
  return std::tie(m.start, m.limit, m.offset, m.path, m.build_id, m.pid);
}

struct MappingLess {
  bool operator()(const Mapping* a, const Mapping* b) const {
    return MappingKey(*a) < MappingKey(*b);
  }
};

uint32_t FunctionIn(const pprof::Location& location) {
  return location.lines.empty() ? pprof::kNone : location.lines.front().function;
}

// Of an encoded sample, beyond the ids of its locations.
constexpr size_t kUsualSampleBytes = 48;

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
      : builder_(builder), symbolizer_(symbolizer), strings_(&profile_.strings) {
    WriteHeader();
    ChooseMappings();
    SymbolizeAll();
  }

  [[nodiscard]] const std::vector<pprof::ValueType>& sample_types() const {
    return profile_.sample_types;
  }
  template <class Take>
  void ForEachSample(const Take& take) {
    pprof::Sample sample;
    for (size_t i = 0; i < builder_.samples_.size(); ++i) {
      ReadSample(i, &sample);
      take(sample);
    }
  }
  // Everything but the samples, behind them. Once.
  pprof::Profile TakeRest() {
    WriteComments();
    return std::move(profile_);
  }

 private:
  void WriteHeader();
  void ChooseMappings();
  void ReadPerfMaps(const std::vector<uint32_t>& places);
  void SymbolizeAll();
  void ReadSample(size_t index, pprof::Sample* sample);
  void WriteComments();
  const Mapping* MappingAt(const Place& place) const;
  std::vector<uint32_t> UsedPlaces() const;
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
  IdIndex location_ids_;  // by mapping and address; of generated code by function, too
  std::unordered_map<uint32_t, uint32_t> name_locations_;
  std::unordered_map<pprof::StringId, uint32_t> function_ids_;
  std::vector<uint32_t> place_locations_;  // of places_ that a sample has
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
    sorted.reserve(space.size());
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

// In address order, which is what the symbolizer is cheapest at. A sample that found no memory may
// have left places that no other has.
std::vector<uint32_t> ProfileBuilder::Output::UsedPlaces() const {
  const std::vector<Place>& all = builder_.places_;
  std::vector<bool> used(all.size());
  for (const Stored& sample : builder_.samples_) {
    const uint32_t* const first = builder_.words_.data() + sample.first_word + sample.names;
    for (uint32_t i = 0; i < sample.places; ++i) used[first[i]] = true;
  }
  std::vector<uint32_t> places;
  for (uint32_t i = 0; i < all.size(); ++i) {
    if (used[i]) places.push_back(i);
  }
  std::sort(places.begin(), places.end(), [&](uint32_t a, uint32_t b) {
    return std::tie(all[a].space, all[a].address) < std::tie(all[b].space, all[b].address);
  });
  return places;
}

// A perf map is read once for all addresses of its process, whatever their times.
void ProfileBuilder::Output::ReadPerfMaps(const std::vector<uint32_t>& places) {
  std::map<int, std::vector<PerfMapQuery>> generated;
  for (const uint32_t id : places) {
    const Place& place = builder_.places_[id];
    const Mapping* mapping = MappingAt(place);
    if (mapping != nullptr && mapping->IsGenerated() && mapping->pid != 0)
      generated[mapping->pid].push_back({place.address, mapping->perf_map});
  }
  for (auto& [pid, queries] : generated) {
    std::sort(queries.begin(), queries.end());
    queries.erase(std::unique(queries.begin(), queries.end()), queries.end());
    try {
      symbolizer_->ReadPerfMap(pid, queries);
    } catch (const std::bad_alloc&) {
      unnamed_for_memory_ += queries.size();
    }
  }
}

void ProfileBuilder::Output::SymbolizeAll() {
  const std::vector<uint32_t> places = UsedPlaces();
  if (symbolizer_ != nullptr) ReadPerfMaps(places);
  place_locations_.resize(builder_.places_.size());
  for (const uint32_t id : places) place_locations_[id] = LocationOf(builder_.places_[id]);
}

uint32_t ProfileBuilder::Output::NewLocation(pprof::Location location) {
  profile_.locations.push_back(std::move(location));
  return static_cast<uint32_t>(profile_.locations.size() - 1);
}

// Processes that share a mapping share its locations. In generated code an address may have had
// several names in the time of the profile, and then it has several locations.
uint32_t ProfileBuilder::Output::LocationOf(const Place& place) {
  const Mapping* mapping = MappingAt(place);
  const uint32_t index = mapping == nullptr ? pprof::kNone : MappingIndex(*mapping);
  const bool has_names = mapping != nullptr && symbolizer_ != nullptr;
  const bool is_generated = has_names && mapping->IsGenerated();
  uint32_t function = is_generated ? FunctionAt(*mapping, index, place.address) : pprof::kNone;
  const uint64_t hash = MixHash(MixHash(index, place.address), function);
  const uint32_t known = location_ids_.Find(hash, [&](uint32_t id) {
    const pprof::Location& location = profile_.locations[id];
    return location.mapping == index && location.address == place.address &&
           (!is_generated || FunctionIn(location) == function);
  });
  if (known != IdIndex::kNotFound) return known;
  if (has_names && !is_generated) function = FunctionAt(*mapping, index, place.address);
  pprof::Location location;
  location.mapping = index;
  location.address = place.address;
  if (function != pprof::kNone) location.lines.push_back({function, 0});
  const uint32_t id = NewLocation(std::move(location));
  location_ids_.Insert(hash, id);
  return id;
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

// Into what has room already, mostly: a profile has many samples.
void ProfileBuilder::Output::ReadSample(size_t index, pprof::Sample* out) {
  const Stored& sample = builder_.samples_[index];
  const uint32_t* const names = builder_.words_.data() + sample.first_word;
  const uint32_t* const places = names + sample.names;
  const size_t value_count = builder_.options_.sample_types.size();
  const int64_t* const values = builder_.values_.data() + index * value_count;
  out->values.assign(values, values + value_count);
  out->locations.clear();
  for (uint32_t i = 0; i < sample.leaf_names; ++i) {
    out->locations.push_back(LocationOfName(names[i]));
  }
  for (uint32_t i = 0; i < sample.places; ++i) {
    out->locations.push_back(place_locations_[places[i]]);
  }
  for (uint32_t i = sample.leaf_names; i < sample.names; ++i) {
    out->locations.push_back(LocationOfName(names[i]));
  }
  const auto text = [&](uint32_t id) { return id == 0 ? 0 : strings_.Intern(builder_.names_[id]); };
  out->labels.clear();
  for (uint32_t i = 0; i < sample.labels; ++i) {
    const pprof::Label& label = builder_.labels_[sample.first_label + i];
    out->labels.push_back({text(label.key), text(label.text), label.number, text(label.unit)});
  }
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

void ProfileBuilder::Reserve(size_t samples, size_t frames, size_t labels) {
  samples_.reserve(samples);
  sample_ids_.Reserve(samples);
  values_.reserve(samples * options_.sample_types.size());
  words_.reserve(frames);
  labels_.reserve(labels);
}

uint32_t ProfileBuilder::InternName(std::string_view name) {
  return name.empty() ? 0 : name_ids_.Intern(name);
}

uint32_t ProfileBuilder::InternPlace(const Place& place) {
  const uint64_t hash = MixHash(place.space, place.address);
  const uint32_t known = place_ids_.Find(hash, [&](uint32_t id) {
    return places_[id].address == place.address && places_[id].space == place.space;
  });
  if (known != IdIndex::kNotFound) return known;
  const auto next = static_cast<uint32_t>(places_.size());
  places_.push_back(place);
  try {
    place_ids_.Insert(hash, next);
  } catch (...) {
    places_.pop_back();
    throw;
  }
  return next;
}

// At the end of what is stored, without values.
ProfileBuilder::Stored ProfileBuilder::Store(const SampleInput& sample) {
  Stored out;
  out.first_word = words_.size();
  out.first_label = labels_.size();
  out.space = static_cast<uint32_t>(sample.address_space);
  out.leaf_names = static_cast<uint32_t>(sample.leaf_names.size());
  out.names = out.leaf_names + static_cast<uint32_t>(sample.root_names.size());
  out.places = static_cast<uint32_t>(sample.frames.size());
  out.labels = static_cast<uint32_t>(sample.labels.size());
  try {
    for (const std::string_view name : sample.leaf_names) words_.push_back(InternName(name));
    for (const std::string_view name : sample.root_names) words_.push_back(InternName(name));
    words_.resize(words_.size() + out.places);
    uint32_t* word = words_.data() + words_.size() - out.places;
    for (size_t i = 0; i < sample.frames.size(); ++i) {
      const bool back = (i != 0 || sample.leaf_is_return_address) && sample.frames[i] != 0;
      *word++ = InternPlace({sample.frames[i] - (back ? 1 : 0), sample.address_space});
    }
    for (const SampleLabel& label : sample.labels) {
      labels_.push_back(
          {InternName(label.key), InternName(label.text), label.number, InternName(label.unit)});
    }
  } catch (...) {
    TakeBack(out);
    throw;
  }
  return out;
}

void ProfileBuilder::TakeBack(const Stored& sample) {
  words_.resize(sample.first_word);
  labels_.resize(sample.first_label);
}

uint64_t ProfileBuilder::HashOf(const Stored& sample) const {
  uint64_t hash = MixHash(sample.space, uint64_t{sample.leaf_names} << 32 | sample.names);
  const uint32_t* const words = words_.data() + sample.first_word;
  const size_t count = sample.words();
  for (size_t i = 0; i + 1 < count; i += 2) {
    hash = MixHash(hash, uint64_t{words[i]} << 32 | words[i + 1]);
  }
  if (count % 2 != 0) hash = MixHash(hash, words[count - 1]);
  for (uint32_t i = 0; i < sample.labels; ++i) {
    const pprof::Label& label = labels_[sample.first_label + i];
    hash = MixHash(MixHash(hash, uint64_t{label.key} << 32 | label.text),
                   static_cast<uint64_t>(label.number));
  }
  return hash;
}

bool ProfileBuilder::SameStack(const Stored& a, const Stored& b) const {
  const auto words = [&](const Stored& of) {
    return std::span(words_).subspan(of.first_word, of.words());
  };
  const auto labels = [&](const Stored& of) {
    return std::span(labels_).subspan(of.first_label, of.labels);
  };
  return a.space == b.space && a.leaf_names == b.leaf_names && a.names == b.names &&
         std::ranges::equal(words(a), words(b)) && std::ranges::equal(labels(a), labels(b));
}

bool ProfileBuilder::AddToKnown(const Stored& sample, uint64_t hash,
                                std::span<const int64_t> values) {
  const uint32_t known =
      sample_ids_.Find(hash, [&](uint32_t id) { return SameStack(samples_[id], sample); });
  if (known == IdIndex::kNotFound) return false;
  int64_t* const sums = values_.data() + known * values.size();
  std::transform(values.begin(), values.end(), sums, sums, Sum);
  return true;
}

bool ProfileBuilder::AddSample(const SampleInput& sample) {
  if (sample.values.size() != options_.sample_types.size()) return false;
  if (sample.address_space >= spaces_.size()) return false;
  const Stored stored = Store(sample);
  const uint64_t hash = HashOf(stored);
  if (AddToKnown(stored, hash, sample.values)) {
    TakeBack(stored);
    return true;
  }
  const size_t values_before = values_.size();
  const size_t samples_before = samples_.size();
  try {
    values_.insert(values_.end(), sample.values.begin(), sample.values.end());
    samples_.push_back(stored);
    sample_ids_.Insert(hash, static_cast<uint32_t>(samples_before));
  } catch (...) {
    samples_.resize(samples_before);
    values_.resize(values_before);
    TakeBack(stored);
    throw;
  }
  return true;
}

pprof::Profile ProfileBuilder::Build(Symbolizer* symbolizer) const {
  Output output(*this, symbolizer);
  std::vector<pprof::Sample> samples;
  output.ForEachSample([&](const pprof::Sample& sample) { samples.push_back(sample); });
  pprof::Profile profile = output.TakeRest();
  profile.samples = std::move(samples);
  return profile;
}

std::string ProfileBuilder::Finish(Symbolizer* symbolizer) const {
  Output output(*this, symbolizer);
  pprof::Encoder encoder(output.sample_types());
  encoder.Reserve(2 * words_.size() + kUsualSampleBytes * samples_.size());
  output.ForEachSample([&](const pprof::Sample& sample) { encoder.Add(sample); });
  return encoder.FinishGz(output.TakeRest());
}

}  // namespace sonde
