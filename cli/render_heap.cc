// SPDX-License-Identifier: Apache-2.0
#include "cli/render_heap.h"

#include <algorithm>
#include <cmath>

#include "cli/cpu_summary.h"
#include "cli/render_report.h"
#include "profile/function_name.h"

namespace sonde::cli {
namespace {

constexpr size_t kValueWidth = 11;
constexpr size_t kErrorWidth = 8;
constexpr size_t kPercentWidth = 7;
constexpr size_t kGap = 3;

size_t TopOf(const ProfileView& view) {
  return view.question().top == 0 ? kDefaultRows : view.question().top;
}

// In a difference of two times a value may have a sign.
std::string Share(double part, double whole) {
  return part < 0 ? "-" + Percent(-part, whole) : Percent(part, whole);
}

std::string Column(const HeapSummary& summary, double value, double error) {
  const ProfileView& view = summary.view;
  std::string column = PadLeft(FormatValue(value, view.value().unit), kValueWidth);
  if (summary.has_errors) column += PadLeft(ErrorText(value, error), kErrorWidth);
  return column + PadLeft(Share(value, view.total()), kPercentWidth);
}

std::string RowName(const ReportRow& row, const std::string& by) {
  if (by != "function" && by != "line") return row.name;
  const bool placed = by == "line" && !row.place.empty();
  return ShortFunctionName(row.name) + (placed ? "  " + row.place : "");
}

// The general table, with an error behind each value.
void RenderTable(std::ostream& out, const Terminal& terminal, const HeapSummary& summary) {
  const std::string& by = summary.view.question().by;
  const size_t rest = kPercentWidth + (summary.has_errors ? kErrorWidth : 0);
  const std::string gap(kGap, ' ');
  const size_t width = 2 * (kValueWidth + rest) + kGap;
  out << PadLeft("flat", kValueWidth) << std::string(rest, ' ') << PadLeft("cum", kValueWidth)
      << std::string(rest, ' ') << gap << by << "\n";
  const size_t shown = std::min(TopOf(summary.view), summary.rows.size());
  for (size_t i = 0; i < shown; ++i) {
    const HeapRow& row = summary.rows[i];
    out << Column(summary, row.row.flat, row.flat_error)
        << Column(summary, row.row.cumulative, row.cumulative_error) << gap
        << Ellipsis(Printable(RowName(row.row, by)), terminal.width - width) << "\n";
  }
  if (shown == summary.rows.size()) return;
  out << std::string(width, ' ') << "… " << summary.rows.size() - shown << " more: --top "
      << std::min(summary.rows.size(), shown * 5) << "\n";
}

std::string LostLine(const ProfileView& view) {
  std::string line;
  for (const ReportLoss& loss : view.losses()) {
    if (loss.name == "[mmap]") continue;  // its stack is known; it is no block of the allocator
    line += (line.empty() ? "" : "; ") + loss.name + " " +
            FormatValue(loss.value, view.value().unit) + ", " + Percent(loss.value, view.total());
  }
  return line;
}

void Lines(Page* page, const char* label, const std::vector<std::string>& lines) {
  for (size_t i = 0; i < lines.size(); ++i) page->Line(i == 0 ? label : "", lines[i]);
}

void RenderEvidence(Page* page, const HeapHeader& header, const HeapSummary& summary) {
  RenderReportEvidence(page, summary.view);
  Lines(page, "sampled", summary.told);
  if (summary.has_errors)
    page->Line("errors", "± is one standard error, from the samples behind each number");
  const std::string lost = LostLine(summary.view);
  if (!lost.empty()) page->Line("lost", lost);
  Lines(page, "unseen", NotCoveredIn(summary.view.comments()));
  if (!header.saved_as.empty()) page->Line("saved", header.saved_as);
  if (!header.next.empty()) page->Line("next", header.next);
}

std::string Total(const HeapSummary& summary) {
  const ProfileView& view = summary.view;
  std::string text = FormatValue(view.total(), view.value().unit);
  const std::string error = ErrorText(view.total(), summary.total_error);
  return text + (error.empty() ? "" : " " + error) + " of " + view.value().type;
}

nlohmann::json RowsWithErrors(const HeapSummary& summary) {
  nlohmann::json list = nlohmann::json::array();
  for (const HeapRow& heap_row : summary.rows) {
    const ReportRow& row = heap_row.row;
    if (list.size() == TopOf(summary.view)) break;
    nlohmann::json item = {{"name", row.name},
                           {"place", row.place},
                           {"module", row.module},
                           {"flat", row.flat},
                           {"cumulative", row.cumulative}};
    if (summary.has_errors)
      item.update(
          {{"flat_error", heap_row.flat_error}, {"cumulative_error", heap_row.cumulative_error}});
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace

std::string ErrorText(double value, double error) {
  if (error <= 0 || value == 0) return "";
  return "±" + Percent(error, std::abs(value));
}

std::string HeapTitle(const HeapHeader& header, const HeapSummary& summary) {
  std::string title = header.process.empty() ? header.target : header.process;
  title += "  " + Total(summary);
  if (!header.asked.empty()) title += ", " + header.asked;
  if (summary.window_seconds > 0) title += "  what changed in " + Seconds(summary.window_seconds);
  if (summary.time_unix_ms > 0) title += "  " + UtcTime(summary.time_unix_ms);
  if (summary.interval_bytes > 0) title += "  one sample in " + Bytes(summary.interval_bytes);
  if (summary.has_errors)
    title += ", " + Thousands(static_cast<uint64_t>(std::llround(summary.samples))) + " samples";
  return title + "  " + header.agent;
}

void RenderHeap(std::ostream& out, const Terminal& terminal, const HeapHeader& header,
                const HeapSummary& summary) {
  Page page(out, terminal);
  page.Title(HeapTitle(header, summary));
  if (summary.view.profile().samples.empty())
    out << (summary.view.total() != 0 ? "nothing is left after the filter\n"
                                      : "no block is known\n");
  else if (summary.view.question().tree)
    RenderReport(out, terminal, summary.view);
  else
    RenderTable(out, terminal, summary);
  RenderEvidence(&page, header, summary);
}

nlohmann::json HeapToJson(const HeapHeader& header, const HeapSummary& summary) {
  nlohmann::json json = ReportToJson(summary.view);
  if (json.contains("rows")) json["rows"] = RowsWithErrors(summary);
  json.update({{"target", header.target},
               {"process", header.process},
               {"source", header.agent},
               {"time_unix_ms", summary.time_unix_ms},
               {"window_seconds", summary.window_seconds},
               {"interval_bytes", summary.interval_bytes},
               {"samples", summary.has_errors ? nlohmann::json(summary.samples) : nullptr},
               {"total_error", summary.has_errors ? nlohmann::json(summary.total_error) : nullptr},
               {"sampled", summary.told},
               {"lost", LossesToJson(summary.view)},
               {"not_covered", NotCoveredIn(summary.view.comments())},
               {"comments", summary.view.comments()},
               {"next", header.next}});
  return json;
}

}  // namespace sonde::cli
