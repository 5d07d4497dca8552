// SPDX-License-Identifier: Apache-2.0
#include "collectors/cpu_names.h"

#include <algorithm>

#include "collectors/safe/cpu_handler.h"

namespace sonde {

std::string LeafNameOf(uint64_t first_frame) {
  const char* name = SyntheticFrameName(first_frame);
  return name == nullptr ? std::string() : name;
}

const char* RootNameOf(StackEnd end, bool in_generated) {
  switch (end) {
    case StackEnd::kRoot:
      return nullptr;
    case StackEnd::kDepthLimit:
      return "[stack truncated]";
    case StackEnd::kNoUnwindData:
      return in_generated ? "[JIT without frame pointers]" : "[no unwind data]";
    case StackEnd::kBadFrame:
    case StackEnd::kUnreadable:
      return in_generated ? "[JIT without frame pointers]" : "[stack unreadable]";
    case StackEnd::kTableNotBuilt:
      return "[unwind table not built]";
  }
  return "[stack cut]";  // by a newer version, in a region file
}

std::string LeafNameOf(const FoldLoss& loss) {
  std::string reason = DropReasonName(loss.reason);
  std::ranges::replace(reason, '_', ' ');
  return "[lost: " + reason + "]";
}

}  // namespace sonde
