// SPDX-License-Identifier: Apache-2.0
#include "agent/config/environment.h"

namespace sonde {
namespace {

constexpr size_t kShownValue = 64;

const Setting* FindExact(std::string_view name) {
  for (const Setting& setting : Schema()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

void ParseEntry(std::string_view entry, Environment* environment) {
  const size_t equals = entry.find('=');
  if (!entry.starts_with("SONDE_") || equals == entry.npos) return;
  const std::string_view value = entry.substr(equals + 1);
  const Setting* setting = FindExact(entry.substr(0, equals));
  if (setting == nullptr) {
    environment->problems.Add(UnknownName(entry.substr(0, equals)).view());
    return;
  }
  const uint64_t bit = uint64_t{1} << (setting - Schema().data());
  if (environment->given & bit) return;  // the first one counts, as for getenv
  if (ParseValue(*setting, value, &environment->settings)) {
    environment->given |= bit;
  } else {
    environment->problems.Add(Refusal(*setting, value, environment->settings).view());
  }
}

}  // namespace

void ParseEnvironment(const char* const* envp, Environment* environment) noexcept {
  for (; envp != nullptr && *envp != nullptr; ++envp) ParseEntry(*envp, environment);
}

Line Refusal(const Setting& setting, std::string_view value, const Settings& kept) {
  return Line()
      .Add(setting.name)
      .Add(" = ")
      .AddForeign(value, kShownValue)
      .Add(": expected ")
      .Add(Expected(setting).view())
      .Add("; \"")
      .AddForeign(FormatValue(setting, kept).view(), kShownValue)
      .Add("\" stays in force");
}

Line UnknownName(std::string_view name) {
  Line line;
  line.AddForeign(name, kShownValue).Add(": no such setting");
  if (const Setting* nearest = NearestSetting(name)) {
    line.Add("; did you mean ").Add(nearest->name).Add("?");
  }
  return line;
}

}  // namespace sonde
