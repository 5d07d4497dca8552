// SPDX-License-Identifier: Apache-2.0
// Gzip in one piece. Used by encode and decode. Pure functions; zlib's working memory (256 KiB to
// write, 48 KiB to read) comes from malloc, which in the agent is its own arena.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "profile/result.h"

namespace sonde {

// The header carries no time and no name: equal input gives equal output. Throws std::bad_alloc.
std::string Gzip(std::string_view bytes);

bool LooksGzipped(std::string_view bytes);

// The error says what is wrong with the stream, or that more than `max_bytes` would come out.
// Several members one after another are one stream.
Result<std::string> Gunzip(std::string_view bytes, size_t max_bytes);

}  // namespace sonde
