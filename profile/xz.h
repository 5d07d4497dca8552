// SPDX-License-Identifier: Apache-2.0
// Unpacks .xz, for .gnu_debugdata: the symbols that Fedora and its kin leave in stripped programs.
// Used by the symbolizer, in the agent too. Pure function. Memory: the packed bytes, what comes out
// and 30 KB. liblzma would take a dictionary of 8 MiB on top, half of what the agent may have; here
// the output is its own dictionary. LZMA2 is the only filter, as in every .gnu_debugdata.
//
// Format: https://tukaani.org/xz/xz-file-format.txt, and the LZMA specification of Igor Pavlov.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "profile/result.h"

namespace sonde {

// An error when it is damaged (checks are compared), uses something else, or is larger than
// `max_bytes`.
Result<std::string> UnpackXz(std::span<const uint8_t> packed, size_t max_bytes);

}  // namespace sonde
