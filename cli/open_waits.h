// SPDX-License-Identifier: Apache-2.0
// What of a block profile goes on still: the waits that have the label state=waiting, by what they
// wait for. Pure. Memory: a copy of the profile while it is asked.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/profile_view.h"
#include "cli/render.h"

namespace sonde::cli {

struct OpenWaits {
  std::string lock;  // "mutex"
  double value = 0;  // in the view's unit
  ReportStack heaviest;
};

// Locks first: threads that wait for work do so at conditions and semaphores, for as long as there
// is none.
std::vector<OpenWaits> OpenWaitsOf(const ProfileView& view);

// A line "waiting" for each.
void RenderOpenWaits(Page* page, const ProfileView& view);

// [{"lock": …, "value": …, "heaviest_stack": {"frames": …, "value": …}}]
nlohmann::json OpenWaitsToJson(const ProfileView& view);

}  // namespace sonde::cli
