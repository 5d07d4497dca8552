// SPDX-License-Identifier: Apache-2.0
// A heap profile in any form that users have: profile.proto, or the text of gperftools and
// jemalloc. Used by heap and diff; pure but for the names of a text profile, which come from the
// files that it mentions. Memory: the profile, bounded by pprof::LegacyHeapLimits and by the
// decoder's.
#pragma once

#include <string>

#include "profile/pprof.h"

namespace sonde::cli {

inline constexpr size_t kMaxSavedProfile = size_t{256} << 20;

// Throws CliError, which begins with `name`.
pprof::Profile ReadHeapProfile(const std::string& name, const std::string& bytes);

// The bytes of a saved profile; throws CliError.
std::string ReadSavedProfile(const std::string& path);

}  // namespace sonde::cli
