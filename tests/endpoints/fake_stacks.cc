// SPDX-License-Identifier: Apache-2.0
#include "tests/endpoints/fake_stacks.h"

#include <unistd.h>

#include "tests/endpoints/fake_sources.h"

namespace sonde::testing {
namespace {

uint64_t Inside(void (*function)()) { return reinterpret_cast<uint64_t>(function) + 5; }

}  // namespace

bool FakeCreators::Read(CreatorsSnapshot* out, std::string* error) {
  if (!on_) {
    *error = "the stacks that make threads are not looked after: SONDE_THREAD_STACKS=off";
    return false;
  }
  const int pid = getpid();
  ++reads_;
  out->samples = {{{Inside(ParseRequest), Inside(HandleConnection)}, pid, 12 * reads_, 8},
                  {{Inside(HashKey), Inside(HandleConnection)}, pid, 3, 1},
                  {{}, pid, 0, 2}};
  out->lost = {{"stack_table_full", 1}};
  return true;
}

std::vector<uint64_t> FakeCreators::CreatorOf(int) {
  return {Inside(ParseRequest), Inside(HandleConnection)};
}

}  // namespace sonde::testing
