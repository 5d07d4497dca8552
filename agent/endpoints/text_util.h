// SPDX-License-Identifier: Apache-2.0
// Foreign bytes made fit for JSON, HTML and metric labels. Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "profile/number_text.h"  // IWYU pragma: export

namespace sonde {

// Bytes that are not UTF-8 become U+FFFD: thread names and paths may hold anything.
std::string ValidUtf8(std::string_view text);

// For text and attribute values.
std::string EscapeHtml(std::string_view text);

}  // namespace sonde
