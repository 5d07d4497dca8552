// SPDX-License-Identifier: Apache-2.0
// Link-time names to what the programmer wrote: C++ (Itanium ABI) and Rust, its v0 scheme and
// the legacy one, whose hash is dropped. Pure function. Allocates through malloc, which in the
// agent is its own arena. Names longer than kMaxMangledBytes are returned as they are: the
// demangler needs stack in proportion.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sonde {

inline constexpr size_t kMaxMangledBytes = 2048;

// What cannot be demangled comes back unchanged.
std::string Demangle(const std::string& name);

}  // namespace sonde
