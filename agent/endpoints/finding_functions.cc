// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/finding_functions.h"

#include <algorithm>
#include <string_view>

#include "collectors/detectors/hot_functions.h"
#include "profile/function_name.h"

namespace sonde {
namespace {

// Everything is below these: no answer.
constexpr std::string_view kFirst[] = {
    "_start",  "__libc_start_main", "__libc_start_call_main", "main", "clone", "clone3",
    "__clone", "start_thread"};

bool IsFirst(const std::string& function) {
  const std::string_view plain = std::string_view(function).substr(0, function.find('@'));
  return std::ranges::find(kFirst, plain) != std::end(kFirst);
}

std::string InWhichFunction(const Finding& finding, FrameNames* names) {
  std::string text;
  for (const FindingFunction& function : finding.functions) {
    if (function.share < kMostOfIt) break;
    const NamedFrame& frame = names->Of(function.pc);
    if (IsFirst(frame.function)) break;
    if (text.empty()) {
      text = ", " + std::to_string((static_cast<int>(function.share * 1000) + 5) / 10) +
             " % of it in ";
      text += frame.function.empty() ? frame.text : ShortFunctionName(frame.function);
      if (!frame.function.empty()) break;
    } else if (!frame.function.empty()) {
      return text + ", below " + ShortFunctionName(frame.function);
    }
  }
  return text;
}

}  // namespace

std::string SentenceOf(const Finding& finding, FrameNames* names) {
  return finding.sentence + InWhichFunction(finding, names) + finding.outcome;
}

}  // namespace sonde
