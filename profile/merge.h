// SPDX-License-Identifier: Apache-2.0
// Profiles added up, or one taken from another. Used by the CLI: all pods of a deployment, before
// and after. Pure functions. Memory: the result, and one key an entry of it while it is made.
//
// What counts as the same: functions by name and file; mappings by build id (else file), size and
// offset, whatever their address; locations by address within their mapping and by lines; samples
// by locations and labels. So the same program in two pods, at two load addresses, is added up.
#pragma once

#include <span>
#include <string>

#include "profile/pprof.h"
#include "profile/result.h"

namespace sonde::pprof {

// Values, and durations, are added; the time is the earliest, the period the largest. Samples that
// sum up to nothing are left out. An error when there is no profile or the sample types differ.
Result<Profile> Merge(std::span<const Profile* const> profiles);

// profile - base, by stack and labels; negative where base had more. Time and duration are
// profile's.
Result<Profile> Diff(const Profile& base, const Profile& profile);

// Takes the text labels of that key away and adds up what becomes equal: "by thread" off, or pods
// apart.
Result<Profile> WithoutLabel(const Profile& profile, const std::string& key);

}  // namespace sonde::pprof
