// SPDX-License-Identifier: Apache-2.0
#include "agent/life/foreign_filter.h"

#include <string.h>

#include "agent/life/proc_text.h"
#include "agent/life/run_dir.h"

namespace sonde::life {
namespace {

bool HasFilter() {
  char text[4096];
  ReadProcText("/proc/self/status", text, sizeof text);
  const char* mode = strstr(text, "\nSeccomp:\t");
  return mode != nullptr && mode[10] == '2';
}

}  // namespace

bool UnderForeignFilter() { return HasFilter() && !InsideContainer(); }

}  // namespace sonde::life
