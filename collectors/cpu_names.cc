// SPDX-License-Identifier: Apache-2.0
#include "collectors/cpu_names.h"

#include <algorithm>

#include "collectors/safe/cpu_handler.h"

namespace sonde {

std::string LeafNameOf(uint64_t first_frame) {
  const char* name = SyntheticFrameName(first_frame);
  return name == nullptr ? std::string() : name;
}

std::string LeafNameOf(const FoldLoss& loss) {
  std::string reason = DropReasonName(loss.reason);
  std::ranges::replace(reason, '_', ' ');
  return "[lost: " + reason + "]";
}

}  // namespace sonde
