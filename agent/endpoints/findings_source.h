// SPDX-License-Identifier: Apache-2.0
// What the endpoints may ask about findings. agent/life implements it over the detectors, tests
// with known ones. Agent thread only.
#pragma once

#include <string>
#include <vector>

#include "collectors/findings.h"
#include "profile/mappings.h"

namespace sonde {

class FindingsSource {
 public:
  virtual ~FindingsSource() = default;
  [[nodiscard]] virtual const FindingStore& findings() const = 0;
  // Sentences: what cannot be found now, and why. Empty: everything is looked for.
  [[nodiscard]] virtual std::vector<std::string> NotSearched() const = 0;
  // What a process of a finding had mapped while it lived: a child that has ended cannot be asked
  // any more. Null: not known.
  [[nodiscard]] virtual const std::vector<Mapping>* MappingsOf(int /*pid*/) const {
    return nullptr;
  }
  // CLOCK_MONOTONIC: looked for since then.
  [[nodiscard]] virtual uint64_t searched_since_ns() const = 0;
};

}  // namespace sonde
