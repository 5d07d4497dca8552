// SPDX-License-Identifier: Apache-2.0
// How functions are called that have no name: by their binary and where they begin in it,
// "libfoo.so+0x1a2b", the address as addr2line takes it. Used by the profile builder, which gives
// such names, and by the CLI, which replaces them once it knows better. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sonde {

// What stands behind the last slash.
std::string_view BaseName(std::string_view path);

std::string UnnamedFunction(std::string_view path, uint64_t address);

// Whether UnnamedFunction made this name, for that binary.
bool IsUnnamedFunction(std::string_view name, std::string_view path);

}  // namespace sonde
