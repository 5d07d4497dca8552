// SPDX-License-Identifier: Apache-2.0
// Ways in which programs use memory: sizes and lifetimes.
#pragma once

#include <span>

#include "tests/truth/worker.h"

namespace truth {

struct Shape {
  const char* name;
  double mean_size;                        // of its blocks, roughly: how many make up a volume
  int most_calls;                          // of a thread, where blocks are big
  void (*run)(Worker* worker, int calls);  // in each of the threads
};

std::span<const Shape> Shapes();

}  // namespace truth
