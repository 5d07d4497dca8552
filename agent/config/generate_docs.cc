// SPDX-License-Identifier: Apache-2.0
// Prints docs/configuration.md from the schema: `sonde_config_docs > docs/configuration.md`. A test
// compares.
#include <cstdio>
#include <string>

#include "agent/config/schema.h"

namespace {

using sonde::Setting;

constexpr char kIntroduction[] =
    "# Configuration\n"
    "\n"
    "<!-- Generated from agent/config/settings.inc by sonde_config_docs; edit that file. -->\n"
    "\n"
    "Every setting can be given in the environment of the service. The file that `SONDE_CONFIG` "
    "names has\n"
    "lines `name = value` (`#` starts a comment; `cpu_hz` and `SONDE_CPU_HZ` are the same) and is "
    "looked at\n"
    "once a second, so a changed ConfigMap takes effect by itself. `POST /debug/sonde/config` "
    "with\n"
    "`cpu_hz=200` changes what is marked *any time*; with `for=10m` the change ends by itself.\n"
    "A later one wins: default, environment, file, request.\n"
    "\n"
    "A value that is not acceptable never stops the service: the former one stays in force, and\n"
    "`/debug/sonde/status` says what was expected. The same holds for a misspelled name.\n"
    "\n"
    "| setting | default | accepted | changes | meaning |\n"
    "|---|---|---|---|---|\n";

const char* WhenText(sonde::When when) {
  switch (when) {
    case sonde::When::Environment:
      return "environment only";
    case sonde::When::Start:
      return "at start";
    case sonde::When::RunTime:
      break;
  }
  return "any time";
}

std::string Row(const Setting& setting) {
  const std::string fallback(sonde::FormatValue(setting, sonde::Settings()).view());
  return "| `" + std::string(setting.name) + "` | " +
         (fallback.empty() ? "(empty)" : "`" + fallback + "`") + " | " +
         std::string(sonde::Expected(setting).view()) + " | " + WhenText(setting.when) + " | " +
         std::string(setting.help) + " |\n";
}

}  // namespace

int main() {
  std::fputs(kIntroduction, stdout);
  for (const Setting& setting : sonde::Schema()) std::fputs(Row(setting).c_str(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;
}
