// SPDX-License-Identifier: Apache-2.0
#include "cli/open_waits.h"

#include <string_view>

#include "cli/render_report.h"

namespace sonde::cli {
namespace {

constexpr std::string_view kInOrder[] = {"mutex", "rwlock", "join", "semaphore", "condition"};

bool HasLabel(const pprof::Profile& profile, const pprof::Sample& sample, std::string_view key,
              std::string_view text) {
  for (const pprof::Label& label : sample.labels) {
    if (profile.Text(label.key) == key && profile.Text(label.text) == text) return true;
  }
  return false;
}

}  // namespace

std::vector<OpenWaits> OpenWaitsOf(const ProfileView& view) {
  std::vector<OpenWaits> found;
  for (const std::string_view lock : kInOrder) {
    pprof::Profile part = view.profile();
    std::erase_if(part.samples, [&](const pprof::Sample& sample) {
      return !HasLabel(part, sample, "state", "waiting") || !HasLabel(part, sample, "lock", lock);
    });
    if (part.samples.empty()) continue;
    const ProfileView waits(std::move(part), ReportQuestion(), view.value());
    found.push_back({std::string(lock), waits.total(), waits.Heaviest()});
  }
  return found;
}

void RenderOpenWaits(Page* page, const ProfileView& view) {
  for (const OpenWaits& waits : OpenWaitsOf(view)) {
    const std::string text =
        waits.lock + " " + FormatValue(waits.value, view.value().unit) + " so far, most at ";
    page->Line("waiting",
               text + OneLineStack(waits.heaviest.frames, page->text_width() - DisplayWidth(text)));
  }
}

nlohmann::json OpenWaitsToJson(const ProfileView& view) {
  nlohmann::json json = nlohmann::json::array();
  for (const OpenWaits& waits : OpenWaitsOf(view)) {
    json.push_back(
        {{"lock", waits.lock},
         {"value", waits.value},
         {"heaviest_stack", {{"frames", waits.heaviest.frames}, {"value", waits.heaviest.value}}}});
  }
  return json;
}

}  // namespace sonde::cli
