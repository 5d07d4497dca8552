// SPDX-License-Identifier: Apache-2.0
#include "cli/thread_cpu.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "cli/profile_view.h"
#include "profile/report.h"

namespace sonde::cli {
namespace {

struct Sums {
  double ns = 0;
  std::map<std::string, double> functions;
};

using Key = std::tuple<int64_t, int64_t, std::string>;  // pid, tid, name

Key KeyOf(const pprof::Profile& profile, const pprof::Sample& sample) {
  Key key;
  for (const pprof::Label& label : sample.labels) {
    const std::string& name = profile.Text(label.key);
    if (name == "pid") std::get<0>(key) = label.number;
    if (name == "tid") std::get<1>(key) = label.number;
    if (name == "thread") std::get<2>(key) = profile.Text(label.text);
  }
  return key;
}

std::string LeafOf(const pprof::Profile& profile, const pprof::Sample& sample) {
  if (sample.locations.empty()) return "[no stack]";
  const pprof::Location& leaf = profile.locations[sample.locations[0]];
  if (leaf.lines.empty() || leaf.lines[0].function == pprof::kNone) {
    return pprof::AddressName(profile, leaf);
  }
  return profile.Text(profile.functions[leaf.lines[0].function].name);
}

}  // namespace

std::vector<ThreadCpuRow> ThreadsByCpu(const pprof::Profile& profile, int only_pid) {
  const ValueChoice value = ChooseCpuValue(profile);
  std::map<Key, Sums> threads;
  for (const pprof::Sample& sample : profile.samples) {
    const Key key = KeyOf(profile, sample);
    if (only_pid != 0 && std::get<0>(key) != only_pid) continue;
    const double ns = static_cast<double>(sample.values[value.index]) * value.scale;
    Sums& sums = threads[key];
    sums.ns += ns;
    sums.functions[LeafOf(profile, sample)] += ns;
  }
  std::vector<ThreadCpuRow> rows;
  for (const auto& [key, sums] : threads) {
    const auto most =
        std::max_element(sums.functions.begin(), sums.functions.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    rows.push_back(
        {std::get<2>(key), std::get<1>(key), std::get<0>(key), sums.ns, most->first, most->second});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ThreadCpuRow& a, const ThreadCpuRow& b) { return a.ns > b.ns; });
  return rows;
}

}  // namespace sonde::cli
