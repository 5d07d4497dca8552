// SPDX-License-Identifier: Apache-2.0
// Known numbers for the profiles that count by stack: who makes threads.
#pragma once

#include <string>
#include <vector>

#include "agent/endpoints/creators_source.h"

namespace sonde::testing {

// Eleven threads live, twelve more were made at each Read; of two of them nobody knows who made
// them.
class FakeCreators final : public CreatorsSource {
 public:
  bool Read(CreatorsSnapshot* out, std::string* error) override;
  CreatorsTotals Totals() override { return {on_, 9, 1}; }
  std::vector<uint64_t> CreatorOf(int tid) override;
  void Switch(bool on) { on_ = on; }

 private:
  bool on_ = true;
  int64_t reads_ = 0;
};

}  // namespace sonde::testing
