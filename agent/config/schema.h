// SPDX-License-Identifier: Apache-2.0
// The schema as data, and the two directions between text and value. Called by the environment
// parser (in the library's constructor), the file parser and the HTTP endpoint. Thread-safe: reads
// constants only. Nothing here allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "agent/config/fixed_text.h"
#include "agent/config/settings.h"

namespace sonde {

enum class When : uint8_t {
  Environment,  // read before a file could be
  Start,        // environment, or the file as it is when the agent starts
  RunTime,      // at any time
};

struct Setting {
  std::string_view name;  // "SONDE_CPU_HZ"
  ValueKind kind;
  size_t offset;  // of the value in Settings
  int64_t min;
  int64_t max;
  std::string_view unit;  // for a Choice: the words, split at '|'
  When when;
  std::string_view help;
};

using Line = FixedLine<512>;

// All rows, in the order of settings.inc.
std::span<const Setting> Schema();

// By its full name or by its short one ("SONDE_CPU_HZ", "cpu_hz", any case); null when there is
// none.
const Setting* FindSetting(std::string_view name);

// The known name that is most alike, or null when none is near enough to be meant.
const Setting* NearestSetting(std::string_view name);

// "cpu_hz" for SONDE_CPU_HZ: how files and requests may write it.
FixedLine<64> ShortName(const Setting& setting);

// Stores `text` in its member. False, with *settings unchanged, when it is not acceptable.
[[nodiscard]] bool ParseValue(const Setting& setting, std::string_view text, Settings* settings);

// The value as ParseValue would read it back.
Line FormatValue(const Setting& setting, const Settings& settings);

// What ParseValue accepts, as the end of a sentence: "an integer from 1 to 1000 (samples …)".
Line Expected(const Setting& setting);

// A duration on its own, written as those of settings are, in ms; nothing outside of min … max.
std::optional<int64_t> ParseDuration(std::string_view text, int64_t min_ms, int64_t max_ms);

// Copies one member.
void CopyValue(const Setting& setting, const Settings& from, Settings* to);

// True when both have the same value.
bool SameValue(const Setting& setting, const Settings& a, const Settings& b);

}  // namespace sonde
