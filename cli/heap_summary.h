// SPDX-License-Identifier: Apache-2.0
// A heap profile as `sonde heap` tells it: the view of one of its four values, and how far sampling
// lets each number be off. Made from a decoded profile, rendered as text or JSON. Memory: the
// profile twice.
//
// A block of s bytes becomes a sample with probability p = 1 − e^(−s/R) at a mean interval of R
// bytes, independently of the others, and counts 1/p blocks. The variance of a sum of such
// estimates is itself estimated without bias by Σ v² (1 − p) / p² over the samples of value v
// (Horvitz and Thompson 1952; for small p the relative standard error is the 1/√n of n Poisson
// counts). A profile holds sums per stack, so all blocks of a stack are taken to have its mean
// size: then n = N p samples are behind N blocks, and the variance is N (1 − p) / p blocks, times
// the mean size squared for bytes. Variances of different stacks add up. Blocks far above R are
// exact: p is 1.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/profile_view.h"

namespace sonde::cli {

// Of `objects` blocks with `bytes` in all, sampled every `interval` bytes on average.
struct SamplingError {
  double samples = 0;           // about so many were behind the estimate
  double objects_variance = 0;  // of `objects`
  double bytes_variance = 0;    // of `bytes`
};
SamplingError ErrorOf(double objects, double bytes, double interval);

// A row, and the standard errors of its two values.
struct HeapRow {
  ReportRow row;
  double flat_error = 0;
  double cumulative_error = 0;
};

struct HeapSummary {
  ProfileView view;
  std::vector<HeapRow> rows{};      // of the view
  int64_t time_unix_ms = 0;         // 0: the profile does not say
  double window_seconds = 0;        // of a difference between two times; 0: it is no difference
  double interval_bytes = 0;        // 0: the profile does not say, or every block is counted
  double samples = 0;               // about so many are behind the total
  double total_error = 0;           // standard error
  bool has_errors = false;          // a difference in use has none: what is gone is not in it
  std::vector<std::string> told{};  // what the agent says of its sampling
};

// `type` is one of a heap profile's sample types ("inuse_space"). Throws CliError: not a heap
// profile, a bad regular expression.
HeapSummary SummariseHeap(pprof::Profile profile, const ReportQuestion& question,
                          const std::string& type);

}  // namespace sonde::cli
