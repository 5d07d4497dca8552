// SPDX-License-Identifier: Apache-2.0
// The mathematics of the heap sampler, without libm (the agent needs only libc and the loader).
//
// Every byte that is allocated is a chance of 1 / interval to become a sample, so the bytes between
// two samples are exponentially distributed with that mean. A block of `size` bytes counts as
// size + 1, so that malloc(0) has a chance, too; it is sampled with probability
//   p = 1 − e^(−(size + 1) / interval)
// and stands for 1 / p blocks of its size: the sum over all samples is then an unbiased estimate of
// the sum over all blocks, whatever the sizes (Horvitz and Thompson 1952). An interval of 1 means
// every block, exactly.
//
// Called in hooks and on the cold side. Pure functions.
#pragma once

#include <stdint.h>

namespace sonde {

// Async-signal-safe. The natural logarithm of x > 0, within 1e-12 (relative to 1).
double NaturalLog(double x);

// Async-signal-safe. 1 − e^(−x) for x ≥ 0, within 1e-12 relative.
double OneMinusExp(double x);

// Async-signal-safe. The next of a stream of random words (splitmix64); any state will do.
uint64_t NextRandom(uint64_t* state);

// Async-signal-safe. How many bytes pass before the next sample.
uint64_t DrawGap(uint64_t random, uint64_t interval);

// Async-signal-safe. How many blocks of this size one sample of them stands for.
double SampleWeight(uint64_t size, uint64_t interval);

}  // namespace sonde
