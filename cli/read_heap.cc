// SPDX-License-Identifier: Apache-2.0
#include "cli/read_heap.h"

#include <utility>

#include "cli/outcome.h"
#include "cli/proc.h"
#include "cli/profile_view.h"
#include "profile/legacy_heap.h"

namespace sonde::cli {

pprof::Profile ReadHeapProfile(const std::string& name, const std::string& bytes) {
  if (!pprof::LooksLikeLegacyHeap(bytes)) return ReadProfile(bytes);
  auto profile = pprof::ParseLegacyHeap(bytes);
  if (!profile) throw Failure(name + ": " + profile.error());
  pprof::SymbolizeFromFiles(&*profile);
  return std::move(*profile);
}

std::string ReadSavedProfile(const std::string& path) {
  auto bytes = ReadSmallFile(path, kMaxSavedProfile);
  if (!bytes) throw Failure("cannot read " + path);
  return std::move(*bytes);
}

}  // namespace sonde::cli
