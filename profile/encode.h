// SPDX-License-Identifier: Apache-2.0
// A profile in memory to profile.proto bytes. Used by the builder and by the CLI when it saves a
// merged profile. Pure function; the same profile gives the same bytes.
#pragma once

#include <string>

#include "profile/pprof.h"

namespace sonde::pprof {

// Uncompressed. Ids are indexes plus one.
std::string Encode(const Profile& profile);
// As pprof files are stored and served.
std::string EncodeGz(const Profile& profile);

}  // namespace sonde::pprof
