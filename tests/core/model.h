// SPDX-License-Identifier: Apache-2.0
// Runs small scenarios over the real code in every order of their accesses to shared words. The
// code is compiled with SONDE_MODEL_CHECK, so that each access first calls Step(): there the
// explorer stops the (cooperative) thread and decides who goes on.
//
// Orders that differ only in independent accesses lead to the same result, so one of each kind is
// enough: dynamic partial-order reduction (Flanagan and Godefroid, POPL 2005) with sleep sets.
// Within the memory model explored, sequential consistency, that is exhaustive. What x86-64 adds to
// it is that a store may be seen late; see collectors/safe/README.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sonde::model {

// Before each access to a shared word; outside of an explored thread it does nothing.
void Step(const void* address, unsigned bytes, bool writes);

struct Scenario {
  std::function<void()> reset;                 // the state before
  std::vector<std::function<void()>> threads;  // at most kMaxThreads
  std::function<std::string()> check;          // after all have ended; empty: good
  std::function<bool(const void*)> ignores;    // words whose order is of no interest
};

struct Explored {
  uint64_t runs = 0;
  uint64_t longest = 0;   // accesses in a run
  bool complete = false;  // false: stopped at `max_runs` or at a failure
  std::string failure;    // what check said, and the order that led there
};

inline constexpr int kMaxThreads = 4;

Explored Explore(const Scenario& scenario, uint64_t max_runs);

// For what has too many orders: `runs` random ones, in which a thread goes on for some accesses
// before another gets its turn.
Explored Sample(const Scenario& scenario, uint64_t runs, uint32_t seed);

// The first thread falls asleep before its k-th access, for every k; the others run to their ends,
// one after the other; it wakes up. For what takes many turns of the others, such as a generation
// that comes round again.
Explored Oversleep(const Scenario& scenario);

// Called before each access while it is set, explored or not.
extern std::function<void()> on_step;

}  // namespace sonde::model
