// SPDX-License-Identifier: Apache-2.0
#include "agent/config/schema.h"

#include <algorithm>
#include <cstddef>

namespace sonde {
namespace {

constexpr Setting kSchema[] = {
#define SONDE_SETTING(field, name, kind, fallback, min, max, unit, when, help) \
  {name, ValueKind::kind, offsetof(Settings, field), min, max, unit, When::when, help},
#include "agent/config/settings.inc"
#undef SONDE_SETTING
};

constexpr std::string_view kPrefix = "SONDE_";
constexpr size_t kLongestName = 63;

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Upper(x) == Upper(y); });
}

// Levenshtein's distance, one row at a time.
size_t Distance(std::string_view a, std::string_view b) {
  size_t row[kLongestName + 1];
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (Upper(a[i - 1]) == Upper(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

}  // namespace

std::span<const Setting> Schema() { return kSchema; }

const Setting* FindSetting(std::string_view name) {
  for (const Setting& setting : kSchema) {
    if (SameName(setting.name, name)) return &setting;
    if (SameName(setting.name.substr(kPrefix.size()), name)) return &setting;
  }
  return nullptr;
}

const Setting* NearestSetting(std::string_view name) {
  if (name.size() > kLongestName) return nullptr;
  const bool is_short = !SameName(name.substr(0, kPrefix.size()), kPrefix);
  const Setting* nearest = nullptr;
  size_t least = std::max<size_t>(2, name.size() / 4) + 1;
  for (const Setting& setting : kSchema) {
    const size_t distance =
        Distance(name, is_short ? setting.name.substr(kPrefix.size()) : setting.name);
    if (distance < least) {
      least = distance;
      nearest = &setting;
    }
  }
  return nearest;
}

FixedLine<64> ShortName(const Setting& setting) {
  FixedLine<64> name;
  for (char c : setting.name.substr(kPrefix.size())) {
    const char lower = Lower(c);
    name.Add(std::string_view(&lower, 1));
  }
  return name;
}

}  // namespace sonde
