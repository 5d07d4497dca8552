// SPDX-License-Identifier: Apache-2.0
// A ProfileView as text and as JSON: the table or the tree, then the evidence. Used by every verb
// that shows a profile. Pure functions of their arguments.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "cli/profile_view.h"
#include "cli/render.h"

namespace sonde::cli {

inline constexpr size_t kDefaultRows = 10;
inline constexpr size_t kDefaultTreeLines = 40;

// "1.20 s", "4.1 MiB", "1,204": a value in the unit that pprof names.
std::string FormatValue(double value, const std::string& unit);

// Fit for one line: functions without their arguments, binaries and threads as they are.
std::string ShortFrameName(const pprof::Frame& frame, const std::string& by);

// The table, or with --tree the call tree, with shares of everything. Units other than CPU time
// have a column of their own: nobody knows what 3 % of a heap is.
void RenderReport(std::ostream& out, const Terminal& terminal, const ProfileView& view);

// "filter", "threads" and "heaviest", as far as they say something.
void RenderReportEvidence(Page* page, const ProfileView& view);

// Names are foreign bytes: json.dump(2, ' ', false, kReplaceBadUtf8) does not throw over them.
inline constexpr auto kReplaceBadUtf8 = nlohmann::json::error_handler_t::replace;

// Keys: type, unit, total, shown, by, rows or tree, threads, heaviest_stack.
nlohmann::json ReportToJson(const ProfileView& view);

// [{"name": …, "value": …}]: what stands for a loss.
nlohmann::json LossesToJson(const ProfileView& view);

// "a < b < c", cut to the width, the root's side first to go.
std::string OneLineStack(const std::vector<std::string>& leaf_first, size_t width);

}  // namespace sonde::cli
