// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config_store.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>

namespace sonde {
namespace {

constexpr size_t kMaxFileProblems = 20;
constexpr std::string_view kBlanks = " \t\r";

uint64_t BitOf(const Setting& setting) { return uint64_t{1} << (&setting - Schema().data()); }
size_t IndexOf(const Setting& setting) { return static_cast<size_t>(&setting - Schema().data()); }

std::string_view Trim(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// A write in the clock tick in which we read leaves the mark as it was.
bool WrittenJustNow(const FileMark& mark) {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000000 + now.tv_nsec - mark.mtime_ns < 2000000000;
}

}  // namespace

bool SettingsLayer::Has(const Setting& setting) const { return (given & BitOf(setting)) != 0; }
void SettingsLayer::Take(const Setting& setting, const Settings& from) {
  CopyValue(setting, from, &values);
  given |= BitOf(setting);
}
void SettingsLayer::Drop(const Setting& setting) { given &= ~BitOf(setting); }

ConfigStore::ConfigStore(const Environment& environment, ConfigRequests* requests)
    : environment_(environment), requests_(requests != nullptr ? requests : &own_requests_) {
  static_assert(sizeof(file_.given) * 8 == SettingsLayer::kMaxSettings);
  current_ = environment_.settings;
  if (!environment_.settings.config.empty()) ReadFile(true);
  Resolve();
}

void ConfigStore::Tick(int64_t now_ms) {
  for (const Setting& setting : Schema()) {
    const int64_t end = requests_->end_ms[IndexOf(setting)];
    if (requests_->layer.Has(setting) && end != 0 && now_ms >= end) requests_->layer.Drop(setting);
  }
  if (!environment_.settings.config.empty() && now_ms >= next_check_ms_) {
    next_check_ms_ = now_ms + kFileCheckMs;
    const bool changed = MarkOf(environment_.settings.config.data) != file_mark_;
    if (changed || file_may_have_changed_unseen_) ReadFile(false);
  }
  Resolve();
}

void ConfigStore::ReadFile(bool at_start) {
  const char* path = environment_.settings.config.data;
  file_mark_ = MarkOf(path);
  file_may_have_changed_unseen_ = WrittenJustNow(file_mark_);
  file_problems_.clear();
  std::string text;
  const long error = ReadSmallFile(AT_FDCWD, path, kMaxFileBytes, &text);
  if (error == 0) return ParseFile(text, at_start);
  file_problems_.push_back("SONDE_CONFIG = " + std::string(path) + ": " + ErrorText(error) +
                           "; its former values stay in force");
}

void ConfigStore::ParseFile(std::string_view text, bool at_start) {
  SettingsLayer next;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const size_t problems_before = file_problems_.size();
    ParseLine(Trim(text.substr(0, end)), at_start, &next);
    for (size_t i = problems_before; i < file_problems_.size(); ++i) {
      file_problems_[i].insert(0, "SONDE_CONFIG line " + std::to_string(number) + ": ");
    }
    text.remove_prefix(std::min(end + 1, text.size()));
    if (file_problems_.size() >= kMaxFileProblems) break;
  }
  file_ = next;
}

void ConfigStore::ParseLine(std::string_view line, bool at_start, SettingsLayer* next) {
  if (line.empty() || line[0] == '#') return;
  const size_t equals = line.find('=');
  if (equals == line.npos) {
    file_problems_.emplace_back(Line().AddForeign(line, 64).Add(": expected name = value").view());
    return;
  }
  const std::string_view name = Trim(line.substr(0, equals));
  const Setting* setting = FindSetting(name);
  if (setting == nullptr) {
    file_problems_.emplace_back(UnknownName(name).view());
  } else {
    TakeFromFile(*setting, Trim(line.substr(equals + 1)), at_start, next);
  }
}

void ConfigStore::TakeFromFile(const Setting& setting, std::string_view value, bool at_start,
                               SettingsLayer* next) {
  Settings wanted = current_;
  const bool valid = ParseValue(setting, value, &wanted);
  const bool fixed =
      setting.when == When::Environment || (setting.when == When::Start && !at_start);
  if (valid && !fixed) return next->Take(setting, wanted);
  if (file_.Has(setting)) next->Take(setting, file_.values);  // the previous value is kept
  if (!valid) {
    file_problems_.emplace_back(Refusal(setting, value, current_).view());
  } else if (setting.when == When::Environment) {
    file_problems_.push_back(std::string(setting.name) + ": can be given only in the environment");
  } else if (!SameValue(setting, wanted, current_)) {
    file_problems_.push_back(std::string(setting.name) +
                             ": takes effect when the service is started again");
  }
}

std::string ConfigStore::Apply(std::span<const ConfigChange> changes, int64_t for_ms,
                               int64_t now_ms) {
  SettingsLayer next = requests_->layer;
  std::string refused;
  for (const ConfigChange& change : changes) refused += CheckChange(change, &next);
  if (!refused.empty()) return refused;
  requests_->layer = next;
  for (const ConfigChange& change : changes) {
    requests_->end_ms[IndexOf(*FindSetting(change.name))] = for_ms == 0 ? 0 : now_ms + for_ms;
  }
  Resolve();
  return {};
}

void ConfigStore::Forget(const Setting& setting) {
  requests_->layer.Drop(setting);
  Resolve();
}

std::string ConfigStore::CheckChange(const ConfigChange& change, SettingsLayer* next) const {
  const Setting* setting = FindSetting(change.name);
  if (setting == nullptr) return std::string(UnknownName(change.name).view()) + "\n";
  if (setting->when != When::RunTime) {
    return std::string(setting->name) + ": cannot be changed while the service runs\n";
  }
  Settings wanted;
  if (!ParseValue(*setting, change.value, &wanted)) {
    return std::string(Refusal(*setting, change.value, current_).view()) + "\n";
  }
  next->Take(*setting, wanted);
  return {};
}

void ConfigStore::Resolve() {
  Settings resolved = environment_.settings;
  bool changed = false;
  for (const Setting& setting : Schema()) {
    if (file_.Has(setting)) CopyValue(setting, file_.values, &resolved);
    if (requests_->layer.Has(setting)) CopyValue(setting, requests_->layer.values, &resolved);
    changed = changed || !SameValue(setting, resolved, current_);
  }
  current_ = resolved;
  generation_ += changed;
}

ConfigStore::Source ConfigStore::source(const Setting& setting) const {
  if (requests_->layer.Has(setting)) return Source::kRequest;
  if (file_.Has(setting)) return Source::kFile;
  return environment_.given & BitOf(setting) ? Source::kEnvironment : Source::kDefault;
}

int64_t ConfigStore::remaining_ms(const Setting& setting, int64_t now_ms) const {
  const int64_t end = requests_->layer.Has(setting) ? requests_->end_ms[IndexOf(setting)] : 0;
  return end == 0 ? 0 : std::max<int64_t>(end - now_ms, 1);
}

std::string ConfigStore::problems() const {
  std::string text(environment_.problems.text());
  for (const std::string& line : file_problems_) text += line + "\n";
  return text;
}

}  // namespace sonde
