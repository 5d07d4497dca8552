// SPDX-License-Identifier: Apache-2.0
// The settings as the environment gives them, read once, in the library's constructor: setproctitle
// and the like overwrite the strings later. Allocates nothing, calls no libc function that could be
// hooked, cannot fail: what is wrong is kept as a line of `problems` and the default stays. About 7
// KiB, constant-initialised.
#pragma once

#include <cstdint>
#include <type_traits>

#include "agent/config/problems.h"
#include "agent/config/schema.h"
#include "agent/config/settings.h"

namespace sonde {

struct Environment {
  Settings settings;
  uint64_t given = 0;  // bit i: row i of Schema() was in the environment and acceptable
  Problems problems;
};
static_assert(std::is_trivially_copyable_v<Environment>);

// `envp` is NULL-terminated, "NAME=value" each; null counts as empty.
void ParseEnvironment(const char* const* envp, Environment* environment) noexcept;

// The line for a value that was refused: name, value, what was expected, what holds instead.
Line Refusal(const Setting& setting, std::string_view value, const Settings& kept);

// The line for a name that no row has.
Line UnknownName(std::string_view name);

}  // namespace sonde
