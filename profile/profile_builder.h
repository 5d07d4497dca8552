// SPDX-License-Identifier: Apache-2.0
// Addresses and counts in, gzipped profile.proto out. Used by the agent for every profile it
// serves, and by the CLI. Not thread-safe. Memory: what was added (4 bytes a frame, 40 a distinct
// address, 100 a sample; half as much again while a vector grows), and while finishing about twice
// the unpacked profile; the caller bounds it by the number of samples.
// When memory runs out, AddSample and Finish throw std::bad_alloc and leave the builder as it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "profile/id_index.h"
#include "profile/mappings.h"
#include "profile/pprof.h"
#include "profile/symbolizer.h"

namespace sonde {

struct ProfileOptions {
  struct Type {
    std::string type;  // "cpu"
    std::string unit;  // "nanoseconds"
  };
  std::vector<Type> sample_types;
  std::string default_sample_type;  // empty: pprof takes the last
  Type period_type;
  int64_t period = 0;
  int64_t time_nanos = 0;  // since 1970, of the beginning
  int64_t duration_nanos = 0;
  std::vector<std::string> comments;
};

struct SampleLabel {
  std::string_view key;
  std::string_view text;  // empty: `number` counts
  int64_t number = 0;
  std::string_view unit;  // of `number`; may be empty
};

// What happened in one stack. The views are only read during AddSample.
struct SampleInput {
  // Leaf first. frames[0] is where the program was; each further one is a return address, which
  // lies behind its call, so address - 1 is looked up and shown, as Go does.
  std::span<const uint64_t> frames;
  // frames[0] is a return address too: a hook's caller in a heap profile.
  bool leaf_is_return_address = false;
  // Named frames without address: nearer to the leaf than frames ("[signal blocked]"), leaf first …
  std::span<const std::string_view> leaf_names;
  // … and nearer to the root ("[stack truncated]"), leaf first.
  std::span<const std::string_view> root_names;
  std::span<const int64_t> values;  // one a sample type; added to those of an equal sample
  std::span<const SampleLabel> labels;
  size_t address_space = 0;  // of AddMappings: which process's addresses these are
};

class ProfileBuilder {
 public:
  explicit ProfileBuilder(ProfileOptions options);
  ProfileBuilder(const ProfileBuilder&) = delete;
  ProfileBuilder& operator=(const ProfileBuilder&) = delete;

  // Of the main process: address space 0. Its first mapping is the main program.
  void SetMappings(std::vector<Mapping> mappings);
  // Of another process of the tree; returns its address space. Equal mappings are written once.
  size_t AddMappings(std::vector<Mapping> mappings);

  // How many samples, and how many frames and labels all of them together, will be added at most,
  // for who knows: room for all at once. Memory that is not used is not touched.
  void Reserve(size_t samples, size_t frames, size_t labels);

  // Samples with equal stack and labels become one. False, and nothing is added, when the number of
  // values is not that of the sample types or the address space is unknown.
  [[nodiscard]] bool AddSample(const SampleInput& sample);
  void AddComment(std::string comment) { options_.comments.push_back(std::move(comment)); }

  size_t sample_count() const { return samples_.size(); }

  // `symbolizer` may be nullptr: addresses only. Its lack of memory costs names, not the profile; a
  // comment then says how many. May be called again. Same input, same bytes.
  std::string Finish(Symbolizer* symbolizer) const;
  // The same before encoding.
  pprof::Profile Build(Symbolizer* symbolizer) const;

 private:
  struct Place {  // one address of one process
    uint64_t address = 0;
    size_t space = 0;
  };
  // A sample: `words_` from `first_word` has its names, then its places; `labels_` its labels;
  // `values_` as many values as there are sample types, in the order of the samples.
  struct Stored {
    size_t first_word = 0;
    size_t first_label = 0;
    uint32_t space = 0;
    uint32_t leaf_names = 0;  // so many names come before the places, the others behind
    uint32_t names = 0;       // indexes into names_
    uint32_t places = 0;      // indexes into places_
    uint32_t labels = 0;
    [[nodiscard]] size_t words() const { return size_t{names} + places; }
  };
  class Output;

  uint32_t InternName(std::string_view name);
  uint32_t InternPlace(const Place& place);
  Stored Store(const SampleInput& sample);
  void TakeBack(const Stored& sample);
  [[nodiscard]] uint64_t HashOf(const Stored& sample) const;
  [[nodiscard]] bool SameStack(const Stored& a, const Stored& b) const;
  bool AddToKnown(const Stored& sample, uint64_t hash, std::span<const int64_t> values);

  ProfileOptions options_;
  std::vector<std::vector<Mapping>> spaces_;
  std::vector<std::string> names_;
  pprof::StringTable name_ids_;
  std::vector<Place> places_;
  IdIndex place_ids_;
  std::vector<uint32_t> words_;
  std::vector<pprof::Label> labels_;  // strings are indexes into names_
  std::vector<int64_t> values_;
  std::vector<Stored> samples_;
  IdIndex sample_ids_;
};

}  // namespace sonde
