// SPDX-License-Identifier: Apache-2.0
// Region files that processes which have ended left in SONDE_DIR: the newest stay, for a while, as
// black boxes; the others give their memory back. A file whose process lives is never taken away,
// whatever pid name space it lives in: its region says so. Agent thread only.
#pragma once

#include <cstdint>
#include <string>

namespace sonde::life {

struct KeepRegionFiles {
  int64_t files = 8;
  int64_t for_ms = 86'400'000;
};

// Removes what is beyond `keep`; how many files. Only this user's own regular files, by name.
int PruneRegionFiles(const std::string& dir, const KeepRegionFiles& keep);

}  // namespace sonde::life
