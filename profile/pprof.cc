// SPDX-License-Identifier: Apache-2.0
#include "profile/pprof.h"

namespace sonde::pprof {

uint32_t Profile::SampleTypeIndex(const std::string& type) const {
  for (uint32_t i = 0; i < sample_types.size(); ++i) {
    if (Text(sample_types[i].type) == type) return i;
  }
  return kNone;
}

StringTable::StringTable(std::vector<std::string>* strings) : strings_(strings) {
  for (StringId id = 0; id < strings->size(); ++id) ids_.emplace((*strings)[id], id);
  Intern("");
}

StringId StringTable::Intern(const std::string& text) {
  const auto next = static_cast<StringId>(strings_->size());
  const auto [entry, fresh] = ids_.try_emplace(text, next);
  if (!fresh) return entry->second;
  try {
    strings_->push_back(text);
  } catch (...) {
    ids_.erase(entry);
    throw;
  }
  return next;
}

}  // namespace sonde::pprof
