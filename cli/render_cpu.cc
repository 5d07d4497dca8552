// SPDX-License-Identifier: Apache-2.0
#include "cli/render_cpu.h"

#include <algorithm>

namespace sonde::cli {
namespace {

// Empty when nobody knows: a Go endpoint does not tell.
std::string LostLine(const ProfileView& view) {
  std::string line;
  if (!view.losses().empty())
    line = Percent(view.lost(), view.total()) + " of the CPU time has no stack:";
  for (const ReportLoss& loss : view.losses())
    line += " " + loss.name + " " + Percent(loss.value, view.total());
  const auto drops = DropsIn(view.comments());
  if (!drops) return line;
  for (const std::string& drop : *drops) line += (line.empty() ? "dropped " : "; dropped ") + drop;
  return line.empty() ? "nothing" : line;
}

void RenderEvidence(Page* page, const CpuHeader& header, const CpuSummary& summary) {
  RenderReportEvidence(page, summary.view);
  const std::vector<std::string> window = WindowNotesIn(summary.view.comments());
  for (size_t i = 0; i < window.size(); ++i) page->Line(i == 0 ? "window" : "", window[i]);
  const std::string lost = LostLine(summary.view);
  if (!lost.empty()) page->Line("lost", lost);
  const std::vector<std::string> unseen = NotCoveredIn(summary.view.comments());
  for (size_t i = 0; i < unseen.size(); ++i) page->Line(i == 0 ? "unseen" : "", unseen[i]);
  if (!header.lines.empty()) page->Line("lines", header.lines);
  if (!header.saved_as.empty()) page->Line("saved", header.saved_as);
  if (!header.next.empty()) page->Line("next", header.next);
}

}  // namespace

std::string CpuTitle(const CpuHeader& header, const CpuSummary& summary) {
  std::string title = header.process.empty() ? header.target : header.process;
  if (summary.window_seconds > 0) {
    const double cores = summary.view.total() / 1e9 / summary.window_seconds;
    title += "  " + Fixed(cores, 2) + (Fixed(cores, 2) == "1.00" ? " core over " : " cores over ") +
             Seconds(summary.window_seconds);
  }
  if (summary.time_unix_ms > 0) title += "  from " + UtcTime(summary.time_unix_ms);
  title += "  " + Thousands(static_cast<uint64_t>(summary.view.samples())) + " samples";
  if (summary.rate_hz > 0) title += " at " + Fixed(summary.rate_hz, 0) + " Hz";
  return title + "  " + header.agent;
}

void RenderCpu(std::ostream& out, const Terminal& terminal, const CpuHeader& header,
               const CpuSummary& summary) {
  Page page(out, terminal);
  page.Title(CpuTitle(header, summary));
  if (summary.view.profile().samples.empty())
    out << (summary.view.total() > 0 ? "nothing is left after the filter\n"
                                     : "no CPU was burnt in this window\n");
  else
    RenderReport(out, terminal, summary.view);
  RenderEvidence(&page, header, summary);
}

nlohmann::json CpuToJson(const CpuHeader& header, const CpuSummary& summary) {
  nlohmann::json json = ReportToJson(summary.view);
  json.update({{"target", header.target},
               {"process", header.process},
               {"source", header.agent},
               {"time_unix_ms", summary.time_unix_ms},
               {"window_seconds", summary.window_seconds},
               {"rate_hz", summary.rate_hz},
               {"samples", summary.view.samples()},
               {"lost", LossesToJson(summary.view)},
               {"not_covered", NotCoveredIn(summary.view.comments())},
               {"window_notes", WindowNotesIn(summary.view.comments())},
               {"comments", summary.view.comments()},
               {"lines", header.lines},
               {"next", header.next}});
  return json;
}

}  // namespace sonde::cli
