// SPDX-License-Identifier: Apache-2.0
#include "collectors/system_calls.h"

namespace sonde {

SystemCall SystemCallOf(int number) {
  switch (number) {
#define SYSTEM_CALL(value, name, argument) \
  case value:                              \
    return {#name, WaitArgument::k##argument};
#include "collectors/system_calls.inc"
#undef SYSTEM_CALL
    default:
      return {};
  }
}

std::string SystemCallName(int number) {
  const char* name = SystemCallOf(number).name;
  return name != nullptr ? name : "system call " + std::to_string(number);
}

}  // namespace sonde
