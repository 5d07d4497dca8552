// SPDX-License-Identifier: Apache-2.0
#include "agent/config/schema.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace sonde {
namespace {

struct Case {
  const char* name;
  const char* text;
  const char* stored;  // null: refused
};

constexpr Case kCases[] = {
    {"cpu_hz", "1", "1"},
    {"cpu_hz", "1000", "1000"},
    {"cpu_hz", "0", nullptr},
    {"cpu_hz", "1001", nullptr},
    {"cpu_hz", "-5", nullptr},
    {"cpu_hz", "", nullptr},
    {"cpu_hz", "1e2", nullptr},
    {"cpu_hz", " 5", nullptr},
    {"cpu_hz", "99999999999999999999", nullptr},
    {"cpu", "on", "on"},
    {"cpu", "false", "off"},
    {"cpu", "1", "on"},
    {"cpu", "maybe", nullptr},
    {"cpu", "", nullptr},
    {"memory_limit_bytes", "16777216", "16MiB"},
    {"memory_limit_bytes", "32Mi", "32MiB"},
    {"memory_limit_bytes", "3000K", "3000KiB"},
    {"memory_limit_bytes", "1GiB", "1GiB"},
    {"memory_limit_bytes", "2GiB", nullptr},
    {"memory_limit_bytes", "16MB", nullptr},
    {"memory_limit_bytes", "MiB", nullptr},
    {"memory_limit_bytes", "999999999999999999GiB", nullptr},
    {"max_profile", "30s", "30s"},
    {"max_profile", "60", "1m"},
    {"max_profile", "1500ms", "1500ms"},
    {"max_profile", "2h", nullptr},
    {"cpu_signal", "auto", "auto"},
    {"cpu_signal", "27", "27"},
    {"cpu_signal", "9", nullptr},
    {"cpu_signal", "33", nullptr},
    {"cpu_signal", "65", nullptr},
    {"cpu_signal", "SIGPROF", nullptr},
    {"log", "quiet", "quiet"},
    {"log", "line", "line"},
    {"log", "lin", nullptr},
    {"log", "", nullptr},
    {"listen", "", ""},
    {"listen", "nowhere", nullptr},
    {"token_file", "/var/token", "/var/token"},
    {"token_file", "token", nullptr},
    {"target", "two\nlines", nullptr},
};

TEST(Schema, ValuesAreStoredOrRefusedByTheirKind) {
  for (const Case& c : kCases) {
    const std::string name = std::string(c.name) == "max_profile" ? "SONDE_MAX_PROFILE" : c.name;
    const Setting* setting = FindSetting(name);
    ASSERT_NE(setting, nullptr) << c.name;
    Settings settings;
    const Settings before = settings;
    const bool accepted = ParseValue(*setting, c.text, &settings);
    ASSERT_EQ(accepted, c.stored != nullptr) << c.name << " = " << c.text;
    if (accepted) {
      EXPECT_EQ(FormatValue(*setting, settings).view(), c.stored) << c.name << " = " << c.text;
    } else {
      EXPECT_TRUE(SameValue(*setting, settings, before)) << "a refused value was stored";
    }
  }
}

TEST(Schema, EveryDefaultIsItselfAcceptable) {
  for (const Setting& setting : Schema()) {
    Settings settings;
    EXPECT_TRUE(ParseValue(setting, FormatValue(setting, Settings()).view(), &settings))
        << setting.name;
    EXPECT_TRUE(SameValue(setting, settings, Settings())) << setting.name;
  }
}

TEST(Schema, NamesAreUniqueAndEveryRowHasHelp) {
  std::set<std::string_view> names;
  for (const Setting& setting : Schema()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_TRUE(setting.name.starts_with("SONDE_"));
    EXPECT_FALSE(setting.help.empty());
    EXPECT_EQ(FindSetting(setting.name), &setting);
    EXPECT_EQ(FindSetting(ShortName(setting).view()), &setting);
  }
  EXPECT_LE(names.size(), 64u) << "one bit each in ConfigStore";
}

TEST(Schema, AMisspelledNameFindsTheNearest) {
  EXPECT_EQ(NearestSetting("SONDE_CPUHZ")->name, "SONDE_CPU_HZ");
  EXPECT_EQ(NearestSetting("SONDE_LISTN")->name, "SONDE_LISTEN");
  EXPECT_EQ(NearestSetting("cpu_hs")->name, "SONDE_CPU_HZ");
  EXPECT_EQ(NearestSetting("SONDE_SOMETHING_ELSE"), nullptr);
  EXPECT_EQ(NearestSetting(std::string(1000, 'x')), nullptr);
}

TEST(Schema, WhatIsExpectedNamesTheRange) {
  EXPECT_EQ(Expected(*FindSetting("cpu_hz")).view(),
            "an integer from 1 to 1000 (samples per second of CPU time)");
  EXPECT_EQ(Expected(*FindSetting("log")).view(), "line or quiet");
}

}  // namespace
}  // namespace sonde
