// SPDX-License-Identifier: Apache-2.0
// A profile in memory to profile.proto bytes. Used by the builder and by the CLI when it saves a
// merged profile. Pure functions; the same profile gives the same bytes. Memory: the bytes, and the
// gzipped ones.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "profile/pprof.h"
#include "profile/wire.h"

namespace sonde::pprof {

// Uncompressed. Ids are indexes plus one.
std::string Encode(const Profile& profile);
// As pprof files are stored and served.
std::string EncodeGz(const Profile& profile);

// The same for samples that come one by one and are kept by nobody: all of them, then the rest.
class Encoder {
 public:
  explicit Encoder(const std::vector<ValueType>& sample_types);
  // Room for so many bytes of samples, for who can guess them.
  void Reserve(size_t bytes) { out_.Reserve(bytes); }
  void Add(const Sample& sample);
  // Of `rest`, sample types and samples are not looked at. Once.
  std::string Finish(const Profile& rest);
  std::string FinishGz(const Profile& rest);

 private:
  wire::Writer out_;
  wire::Writer part_;   // one sample
  wire::Writer label_;  // of it
};

}  // namespace sonde::pprof
