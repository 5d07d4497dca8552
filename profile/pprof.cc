// SPDX-License-Identifier: Apache-2.0
#include "profile/pprof.h"

#include <functional>

namespace sonde::pprof {
namespace {

uint64_t HashOf(std::string_view text) { return MixHash(std::hash<std::string_view>()(text), 0); }

}  // namespace

uint32_t Profile::SampleTypeIndex(const std::string& type) const {
  for (uint32_t i = 0; i < sample_types.size(); ++i) {
    if (Text(sample_types[i].type) == type) return i;
  }
  return kNone;
}

StringTable::StringTable(std::vector<std::string>* strings) : strings_(strings) {
  for (StringId id = 0; id < strings->size(); ++id) {
    const std::string& text = (*strings)[id];
    const uint64_t hash = HashOf(text);
    const auto is = [&](uint32_t known) { return (*strings)[known] == text; };
    if (ids_.Find(hash, is) == IdIndex::kNotFound) ids_.Insert(hash, id);
  }
  Intern("");
}

StringId StringTable::Intern(std::string_view text) {
  const uint64_t hash = HashOf(text);
  const StringId known = ids_.Find(hash, [&](uint32_t id) { return (*strings_)[id] == text; });
  if (known != IdIndex::kNotFound) return known;
  const auto next = static_cast<StringId>(strings_->size());
  strings_->emplace_back(text);
  try {
    ids_.Insert(hash, next);
  } catch (...) {
    strings_->pop_back();
    throw;
  }
  return next;
}

}  // namespace sonde::pprof
