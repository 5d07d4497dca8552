// SPDX-License-Identifier: Apache-2.0
// The field numbers of profile.proto (github.com/google/pprof), once for encode and decode.
#pragma once

#include <cstdint>

namespace sonde::pprof::field {

enum Profile : uint32_t {
  kSampleType = 1,
  kSample = 2,
  kMapping = 3,
  kLocation = 4,
  kFunction = 5,
  kStringTable = 6,
  kDropFrames = 7,
  kKeepFrames = 8,
  kTimeNanos = 9,
  kDurationNanos = 10,
  kPeriodType = 11,
  kPeriod = 12,
  kComment = 13,
  kDefaultSampleType = 14,
};

enum ValueType : uint32_t { kType = 1, kUnit = 2 };
enum Sample : uint32_t { kLocationId = 1, kValue = 2, kLabel = 3 };
enum Label : uint32_t { kLabelKey = 1, kLabelText = 2, kLabelNumber = 3, kLabelUnit = 4 };

enum Mapping : uint32_t {
  kMappingId = 1,
  kMemoryStart = 2,
  kMemoryLimit = 3,
  kFileOffset = 4,
  kFile = 5,
  kBuildId = 6,
  kHasFunctions = 7,
  kHasFilenames = 8,
  kHasLineNumbers = 9,
  kHasInlineFrames = 10,
};

enum Location : uint32_t {
  kThisLocationId = 1,
  kLocationMapping = 2,
  kAddress = 3,
  kLine = 4,
  kIsFolded = 5
};
enum Line : uint32_t { kLineFunction = 1, kLineNumber = 2 };

enum Function : uint32_t {
  kFunctionId = 1,
  kName = 2,
  kSystemName = 3,
  kFunctionFile = 4,
  kStartLine = 5
};

}  // namespace sonde::pprof::field
