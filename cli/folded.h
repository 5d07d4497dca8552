// SPDX-License-Identifier: Apache-2.0
// A profile as folded stacks, the text that flame graph tools read: "main;handle;parse 30", the
// root first, one line a distinct stack, sorted. Pure function. Memory: the text.
#pragma once

#include <string>

#include "cli/profile_view.h"

namespace sonde::cli {

// Values are the sample type's own numbers (CPU: nanoseconds). By thread, the thread comes first.
// A ';' in a name is written ':', a line break as a blank.
std::string FoldedStacks(const ProfileView& view);

}  // namespace sonde::cli
