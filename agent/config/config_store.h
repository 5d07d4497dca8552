// SPDX-License-Identifier: Apache-2.0
// The settings that are in force while the agent runs, and where each came from.
//
//   default  <  environment (read at load)  <  file SONDE_CONFIG (watched)  <  requests (POST, may
//   run out)
//
// A later layer hides an earlier one; when a line leaves the file or a request runs out, what is
// below shows again. Agent thread only. About 20 KiB and the text of the problems.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/environment.h"
#include "agent/config/schema.h"
#include "agent/config/small_file.h"

namespace sonde {

struct ConfigChange {
  std::string name;  // full or short
  std::string value;
};

// What one source has set. Zeros: nothing.
struct SettingsLayer {
  static constexpr size_t kMaxSettings = 64;
  Settings values;
  uint64_t given = 0;  // a bit a setting

  bool Has(const Setting& setting) const;
  void Take(const Setting& setting, const Settings& from);
  void Drop(const Setting& setting);
};

struct ConfigRequests {
  SettingsLayer layer;
  int64_t end_ms[SettingsLayer::kMaxSettings] = {};  // 0: no end
};

class ConfigStore {
 public:
  static constexpr size_t kMaxFileBytes = 64 << 10;
  static constexpr int64_t kFileCheckMs = 1000;

  enum class Source : uint8_t { kDefault, kEnvironment, kFile, kRequest };

  // Reads the file, if one is named: settings of When::Start are taken from it here and never
  // again. `requests`: what was asked of an earlier store, which this one goes on with; outlives
  // it.
  explicit ConfigStore(const Environment& environment, ConfigRequests* requests = nullptr);

  // To be called about once a second: looks at the file, drops requests that ran out.
  void Tick(int64_t now_ms);

  const Settings& current() const { return current_; }
  // Grows whenever current() changes.
  uint64_t generation() const { return generation_; }
  Source source(const Setting& setting) const;
  // Milliseconds that a request's value still has; 0: no end, or not from a request.
  int64_t remaining_ms(const Setting& setting, int64_t now_ms) const;

  // All changes or none; empty when done, else one line for each that was refused. `for_ms` 0: no
  // end.
  [[nodiscard]] std::string Apply(std::span<const ConfigChange> changes, int64_t for_ms,
                                  int64_t now_ms);

  // Drops what a request has set.
  void Forget(const Setting& setting);

  // What is wrong with the environment and the file, one line each.
  std::string problems() const;

 private:
  void ReadFile(bool at_start);
  void ParseFile(std::string_view text, bool at_start);
  void ParseLine(std::string_view line, bool at_start, SettingsLayer* next);
  void TakeFromFile(const Setting& setting, std::string_view value, bool at_start,
                    SettingsLayer* next);
  std::string CheckChange(const ConfigChange& change, SettingsLayer* next) const;
  void Resolve();

  const Environment environment_;
  SettingsLayer file_;
  ConfigRequests own_requests_;  // where nobody keeps them
  ConfigRequests* const requests_;
  Settings current_;
  uint64_t generation_ = 1;
  FileMark file_mark_;
  bool file_may_have_changed_unseen_ = false;
  int64_t next_check_ms_ = 0;
  std::vector<std::string> file_problems_;
};

}  // namespace sonde
