// SPDX-License-Identifier: Apache-2.0
// Which build this is. Constants; the build system defines the macros.
#pragma once

namespace sonde::life {

inline constexpr const char* kVersion = SONDE_VERSION;
inline constexpr const char* kCommit = SONDE_COMMIT;

}  // namespace sonde::life
