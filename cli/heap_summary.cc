// SPDX-License-Identifier: Apache-2.0
#include "cli/heap_summary.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include "cli/outcome.h"

namespace sonde::cli {
namespace {

using pprof::Profile;
using pprof::Sample;

// Variances are carried in the profile's whole numbers: this part of interval² is their 1.
constexpr double kVarianceSteps = 1024;

// The two values that belong together: alloc_* or inuse_*.
struct Pair {
  uint32_t objects = pprof::kNone;
  uint32_t bytes = pprof::kNone;
  bool complete() const { return objects != pprof::kNone && bytes != pprof::kNone; }
};

Pair PairOf(const Profile& profile, const std::string& type) {
  const std::string half = type.substr(0, type.find('_'));
  return {profile.SampleTypeIndex(half + "_objects"), profile.SampleTypeIndex(half + "_space")};
}

SamplingError ErrorOfSample(const Sample& sample, const Pair& pair, double interval) {
  return ErrorOf(static_cast<double>(sample.values[pair.objects]),
                 static_cast<double>(sample.values[pair.bytes]), interval);
}

// The same question, asked of the variances: they add up where the values do.
ProfileView Variances(Profile profile, const ReportQuestion& question, ValueChoice value,
                      double interval) {
  const Pair pair = PairOf(profile, value.type);
  const bool of_bytes = value.index == pair.bytes;
  value.scale = of_bytes ? interval * interval / kVarianceSteps : 1 / kVarianceSteps;
  for (Sample& sample : profile.samples) {
    const SamplingError error = ErrorOfSample(sample, pair, interval);
    const double variance = of_bytes ? error.bytes_variance : error.objects_variance;
    sample.values[value.index] = std::llround(std::min(variance / value.scale, 0x1p50));
  }
  return ProfileView(std::move(profile), question, std::move(value));
}

using RowKey = std::tuple<std::string, std::string, std::string>;

RowKey KeyOf(const ReportRow& row) { return {row.name, row.place, row.module}; }

void AddErrors(const ProfileView& variances, std::vector<HeapRow>* rows) {
  std::map<RowKey, const ReportRow*> known;
  const std::vector<ReportRow> of_variance = variances.Rows();
  for (const ReportRow& row : of_variance) known[KeyOf(row)] = &row;
  for (HeapRow& row : *rows) {
    const auto found = known.find(KeyOf(row.row));
    if (found == known.end()) continue;
    row.flat_error = std::sqrt(found->second->flat);
    row.cumulative_error = std::sqrt(found->second->cumulative);
  }
}

std::vector<std::string> ToldIn(const std::vector<std::string>& comments) {
  constexpr std::string_view kSign = "sonde: ";
  std::vector<std::string> told;
  for (const std::string& comment : comments)
    if (comment.starts_with(kSign)) told.push_back(comment.substr(kSign.size()));
  return told;
}

// Behind the total, which no filter narrows.
double SamplesBehind(const Profile& profile, ReportQuestion question, const ValueChoice& value) {
  question.focus.clear();
  question.ignore.clear();
  const ProfileView all(profile, question, value);
  const Pair pair = PairOf(profile, value.type);
  double samples = 0;
  for (const Sample& sample : all.profile().samples)
    samples += ErrorOfSample(sample, pair, static_cast<double>(profile.period)).samples;
  return samples;
}

}  // namespace

SamplingError ErrorOf(double objects, double bytes, double interval) {
  if (objects <= 0 || bytes < 0) return {};
  const double size = bytes / objects;
  const double chance = interval <= 1 ? 1 : -std::expm1(-(size + 1) / interval);
  const double variance = objects * (1 - chance) / chance;
  return {objects * chance, variance, variance * size * size};
}

HeapSummary SummariseHeap(Profile profile, const ReportQuestion& question,
                          const std::string& type) {
  ValueChoice value = ChooseValue(profile, type);
  const bool complete = PairOf(profile, value.type).complete();
  const auto interval = static_cast<double>(profile.period);
  const double seconds = static_cast<double>(profile.duration_nanos) / 1e9;
  const bool has_errors =
      complete && interval > 1 && (seconds <= 0 || value.type.starts_with("alloc"));
  HeapSummary summary{.view = ProfileView(profile, question, value)};
  for (ReportRow& row : summary.view.Rows()) summary.rows.push_back({std::move(row)});
  summary.time_unix_ms = profile.time_nanos / 1'000'000;
  summary.window_seconds = seconds;
  summary.told = ToldIn(summary.view.comments());
  if (interval > 1) summary.interval_bytes = interval;
  if (!has_errors) return summary;
  summary.has_errors = true;
  summary.samples = SamplesBehind(profile, question, value);
  const ProfileView variances = Variances(std::move(profile), question, value, interval);
  AddErrors(variances, &summary.rows);
  summary.total_error = std::sqrt(variances.total());
  return summary;
}

}  // namespace sonde::cli
