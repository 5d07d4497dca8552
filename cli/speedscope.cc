// SPDX-License-Identifier: Apache-2.0
#include "cli/speedscope.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

namespace sonde::cli {
namespace {

using nlohmann::json;

constexpr size_t kMaxProfiles = 100;
constexpr const char* kSchema = "https://www.speedscope.app/file-format-schema.json";

// The units that the schema knows.
std::string UnitOf(const std::string& unit) {
  return unit == "nanoseconds" || unit == "bytes" ? unit : "none";
}

class FrameTable {
 public:
  explicit FrameTable(const ProfileView& view) {
    for (const pprof::Location& location : view.profile().locations) {
      std::vector<size_t>& ids = of_location_.emplace_back();
      for (const ProfileView::Frame& frame : view.FramesOf(location)) ids.push_back(IdOf(frame));
    }
  }

  // Root first.
  std::vector<size_t> StackOf(const pprof::Sample& sample) const {
    std::vector<size_t> stack;
    for (const uint32_t location : sample.locations)
      stack.insert(stack.end(), of_location_[location].begin(), of_location_[location].end());
    std::reverse(stack.begin(), stack.end());
    return stack;
  }

  json TakeFrames() { return std::move(frames_); }

 private:
  size_t IdOf(const ProfileView::Frame& frame) {
    const auto [entry, fresh] =
        ids_.try_emplace({frame.name, frame.file, frame.line}, frames_.size());
    if (!fresh) return entry->second;
    json made = {{"name", frame.name}};
    if (!frame.file.empty()) made["file"] = frame.file;
    if (frame.line > 0) made["line"] = frame.line;
    frames_.push_back(std::move(made));
    return entry->second;
  }

  std::map<std::tuple<std::string, std::string, int64_t>, size_t> ids_;
  std::vector<std::vector<size_t>> of_location_;
  json frames_ = json::array();
};

struct ThreadProfile {
  std::string name;
  double total = 0;
  json samples = json::array();
  json weights = json::array();
};

std::vector<ThreadProfile> SplitByThread(const ProfileView& view, const FrameTable& frames) {
  std::map<std::string, ThreadProfile> threads;
  for (const pprof::Sample& sample : view.profile().samples) {
    const double weight = view.ValueOf(sample);
    if (weight <= 0) continue;
    ThreadProfile& thread = threads[view.ThreadOf(sample)];
    thread.total += weight;
    thread.samples.push_back(frames.StackOf(sample));
    thread.weights.push_back(weight);
  }
  std::vector<ThreadProfile> sorted;
  for (auto& [name, thread] : threads) {
    thread.name = name;
    sorted.push_back(std::move(thread));
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.total > b.total; });
  return sorted;
}

void MergeRest(std::vector<ThreadProfile>* threads) {
  if (threads->size() <= kMaxProfiles) return;
  ThreadProfile& last = (*threads)[kMaxProfiles - 1];
  last.name = std::to_string(threads->size() - kMaxProfiles + 1) + " other threads";
  for (size_t i = kMaxProfiles; i < threads->size(); ++i) {
    ThreadProfile& from = (*threads)[i];
    last.total += from.total;
    for (json& sample : from.samples) last.samples.push_back(std::move(sample));
    for (json& weight : from.weights) last.weights.push_back(std::move(weight));
  }
  threads->resize(kMaxProfiles);
}

}  // namespace

std::string Speedscope(const ProfileView& view, const std::string& title) {
  FrameTable frames(view);
  std::vector<ThreadProfile> threads = SplitByThread(view, frames);
  MergeRest(&threads);
  if (threads.empty()) threads.emplace_back();
  json profiles = json::array();
  for (ThreadProfile& thread : threads)
    profiles.push_back({{"type", "sampled"},
                        {"name", thread.name.empty() ? title : thread.name},
                        {"unit", UnitOf(view.value().unit)},
                        {"startValue", 0},
                        {"endValue", thread.total},
                        {"samples", std::move(thread.samples)},
                        {"weights", std::move(thread.weights)}});
  const json file = {{"$schema", kSchema},
                     {"name", title},
                     {"exporter", "sonde"},
                     {"activeProfileIndex", 0},
                     {"shared", {{"frames", frames.TakeFrames()}}},
                     {"profiles", std::move(profiles)}};
  // Names are foreign bytes and may not be UTF-8.
  return file.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace sonde::cli
