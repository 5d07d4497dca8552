// SPDX-License-Identifier: Apache-2.0
// The functions of a finding in words. Agent thread only; no memory.
#pragma once

#include <string>

#include "agent/endpoints/frame_names.h"
#include "collectors/findings.h"

namespace sonde {

// The sentence with ", 96 % of it in demo::PollQueue": the function nearest to the leaf that most
// of the time goes through; of one without a name also the nearest that has one. None, if that is
// only the program's or the thread's first.
std::string SentenceOf(const Finding& finding, FrameNames* names);

}  // namespace sonde
