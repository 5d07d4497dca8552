// SPDX-License-Identifier: Apache-2.0
// The values of all settings: one member a row of settings.inc.
// Constant-initialised and trivially copyable, because a preloaded library reads it before anything
// else has run. Used by every part of the agent. No thread-safety of its own: owners copy it.
// About 2.5 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace sonde {

enum class ValueKind : uint8_t {
  Text,
  Path,
  Address,
  Switch,
  Integer,
  Bytes,
  Duration,
  Signal,
  Choice
};

// A string in place; always NUL-terminated.
struct Text {
  static constexpr size_t kCapacity = 256;
  char data[kCapacity] = {};

  constexpr Text() = default;
  template <size_t N>
  // NOLINTNEXTLINE(google-explicit-constructor): rows of the schema
  constexpr Text(const char (&literal)[N]) {
    static_assert(N <= kCapacity);
    for (size_t i = 0; i < N; ++i) data[i] = literal[i];
  }
  constexpr std::string_view view() const { return data; }
  constexpr bool empty() const { return data[0] == '\0'; }
};

template <ValueKind kind>
using ValueOf =
    std::conditional_t<kind == ValueKind::Switch, bool,
                       std::conditional_t<kind == ValueKind::Text || kind == ValueKind::Path ||
                                              kind == ValueKind::Address,
                                          Text, int64_t>>;

struct Settings {
#define SONDE_SETTING(field, name, kind, fallback, ...) ValueOf<ValueKind::kind> field = fallback;
#include "agent/config/settings.inc"
#undef SONDE_SETTING
};

static_assert(std::is_trivially_copyable_v<Settings>);
static_assert(std::is_standard_layout_v<Settings>);

}  // namespace sonde
