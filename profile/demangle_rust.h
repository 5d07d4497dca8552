// SPDX-License-Identifier: Apache-2.0
// Rust's own mangling ("v0", RFC 2603): "_RNvCs1_4demo4main" -> "demo::main". Used by demangle.
// Pure function. Bounded: nesting, steps and the length of the result; what goes beyond is not
// demangled.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sonde {

// nullopt: not such a name, or one that goes beyond the bounds.
std::optional<std::string> DemangleRust(std::string_view name);

}  // namespace sonde
