// SPDX-License-Identifier: Apache-2.0
#include "cli/render_cpu.h"

#include <algorithm>

namespace sonde::cli {
namespace {

constexpr size_t kThreadsInText = 6;
constexpr size_t kLongestStack = 20;  // frames, when the width does not limit

std::string Title(const CpuHeader& header, const CpuSummary& summary) {
  std::string title = header.process.empty() ? header.target : header.process;
  if (summary.window_seconds > 0) {
    const double cores = summary.total_ns / 1e9 / summary.window_seconds;
    title += "  " + Fixed(cores, 2) + (Fixed(cores, 2) == "1.00" ? " core over " : " cores over ") +
             Seconds(summary.window_seconds);
  }
  if (summary.time_unix_ms > 0) title += "  from " + UtcTime(summary.time_unix_ms);
  title += "  " + Thousands(static_cast<uint64_t>(summary.samples)) + " samples";
  if (summary.rate_hz > 0) title += " at " + Fixed(summary.rate_hz, 0) + " Hz";
  return title + "  " + header.agent;
}

std::string RowName(const CpuRow& row, const CpuQuestion& question) {
  return question.by == "function" ? ShortFunctionName(row.name) : row.name;
}

void RenderRows(std::ostream& out, const Terminal& terminal, const CpuSummary& summary,
                const CpuQuestion& question) {
  constexpr size_t kNumbers = 20;
  const size_t shown = std::min(question.top, summary.rows.size());
  out << PadLeft("flat", 7) << PadLeft("cum", 9) << "   " << question.by << "\n";
  for (size_t i = 0; i < shown; ++i) {
    const CpuRow& row = summary.rows[i];
    const std::string name = Printable(RowName(row, question));
    out << PadLeft(Percent(row.flat_ns, summary.total_ns), 7)
        << PadLeft(Percent(row.cumulative_ns, summary.total_ns), 9) << "   "
        << Ellipsis(name, terminal.width - kNumbers) << "\n";
  }
  if (shown < summary.rows.size())
    out << PadLeft("", 19) << "… " << summary.rows.size() - shown << " more: --top "
        << std::min(summary.rows.size(), shown * 5) << "\n";
}

bool SeveralProcesses(const std::vector<CpuThread>& threads) {
  return std::any_of(threads.begin(), threads.end(),
                     [&](const CpuThread& thread) { return thread.pid != threads[0].pid; });
}

std::string ThreadLine(const CpuSummary& summary) {
  const bool several = SeveralProcesses(summary.threads);
  std::string line;
  for (size_t i = 0; i < std::min(kThreadsInText, summary.threads.size()); ++i) {
    const CpuThread& thread = summary.threads[i];
    line += (line.empty() ? "" : ", ") + thread.name;
    if (thread.tid > 0)
      line += " (" + (several ? "pid " + std::to_string(thread.pid) + " " : std::string()) +
              "tid " + std::to_string(thread.tid) + ")";
    line += " " + Percent(thread.ns, summary.shown_ns);
  }
  if (summary.threads.size() > kThreadsInText)
    line += ", " + std::to_string(summary.threads.size() - kThreadsInText) + " more";
  return line;
}

// Empty when nobody knows: a Go endpoint does not tell.
std::string LostLine(const CpuSummary& summary) {
  std::string line;
  if (!summary.lost.empty())
    line = Percent(summary.lost_ns, summary.total_ns) + " of the CPU time has no stack:";
  for (const CpuRow& reason : summary.lost)
    line += " " + reason.name + " " + Percent(reason.flat_ns, summary.total_ns);
  const auto drops = DropsIn(summary);
  if (!drops) return line;
  for (const std::string& drop : *drops) line += (line.empty() ? "dropped " : "; dropped ") + drop;
  return line.empty() ? "nothing" : line;
}

std::string FilterLine(const CpuSummary& summary, const CpuQuestion& question) {
  std::string line;
  if (!question.focus.empty()) line += "focus " + question.focus + " ";
  if (!question.ignore.empty()) line += "ignore " + question.ignore + " ";
  return line + "leaves " + Percent(summary.shown_ns, summary.total_ns) +
         "; percentages are of everything";
}

void RenderEvidence(Page* page, const CpuHeader& header, const CpuSummary& summary,
                    const CpuQuestion& question) {
  if (!question.focus.empty() || !question.ignore.empty())
    page->Line("filter", FilterLine(summary, question));
  if (!summary.threads.empty() && question.by != "thread")
    page->Line("threads", ThreadLine(summary));
  if (!summary.heaviest.frames.empty()) {
    const std::string share = Percent(summary.heaviest.ns, summary.total_ns) + "  ";
    page->Line("heaviest", share + OneLineStack(summary.heaviest.frames,
                                                page->text_width() - DisplayWidth(share)));
  }
  const std::string lost = LostLine(summary);
  if (!lost.empty()) page->Line("lost", lost);
  const std::vector<std::string> unseen = NotCoveredIn(summary);
  for (size_t i = 0; i < unseen.size(); ++i) page->Line(i == 0 ? "unseen" : "", unseen[i]);
  if (!header.saved_as.empty()) page->Line("saved", header.saved_as);
  if (!header.next.empty()) page->Line("next", header.next);
}

nlohmann::json RowsToJson(const std::vector<CpuRow>& rows, size_t at_most) {
  nlohmann::json list = nlohmann::json::array();
  for (size_t i = 0; i < std::min(at_most, rows.size()); ++i)
    list.push_back({{"name", rows[i].name},
                    {"flat_ns", rows[i].flat_ns},
                    {"cumulative_ns", rows[i].cumulative_ns}});
  return list;
}

}  // namespace

std::string OneLineStack(const std::vector<std::string>& leaf_first, size_t width) {
  std::string line;
  for (size_t i = 0; i < leaf_first.size(); ++i) {
    const std::string frame = (i == 0 ? "" : " < ") + ShortFunctionName(leaf_first[i]);
    const bool last = i + 1 == leaf_first.size();
    const size_t room_after = last ? 0 : DisplayWidth(" < …");
    const bool fits = DisplayWidth(line) + DisplayWidth(frame) + room_after <= width;
    if (i > 0 && (!fits || i >= kLongestStack)) return line + " < …";
    line += frame;
  }
  return line;
}

void RenderCpu(std::ostream& out, const Terminal& terminal, const CpuHeader& header,
               const CpuSummary& summary, const CpuQuestion& question) {
  Page page(out, terminal);
  page.Title(Title(header, summary));
  if (summary.rows.empty())
    out << (summary.total_ns > 0 ? "nothing is left after the filter\n"
                                 : "no CPU was burnt in this window\n");
  else
    RenderRows(out, terminal, summary, question);
  RenderEvidence(&page, header, summary, question);
}

nlohmann::json CpuToJson(const CpuHeader& header, const CpuSummary& summary,
                         const CpuQuestion& question) {
  nlohmann::json threads = nlohmann::json::array();
  for (const CpuThread& thread : summary.threads)
    threads.push_back(
        {{"name", thread.name}, {"tid", thread.tid}, {"pid", thread.pid}, {"cpu_ns", thread.ns}});
  return {
      {"target", header.target},
      {"process", header.process},
      {"source", header.agent},
      {"time_unix_ms", summary.time_unix_ms},
      {"window_seconds", summary.window_seconds},
      {"rate_hz", summary.rate_hz},
      {"samples", summary.samples},
      {"cpu_ns", summary.total_ns},
      {"shown_cpu_ns", summary.shown_ns},
      {"by", question.by},
      {"rows", RowsToJson(summary.rows, question.top)},
      {"threads", threads},
      {"heaviest_stack", {{"frames", summary.heaviest.frames}, {"cpu_ns", summary.heaviest.ns}}},
      {"lost", RowsToJson(summary.lost, summary.lost.size())},
      {"not_covered", NotCoveredIn(summary)},
      {"comments", summary.comments},
      {"next", header.next}};
}

}  // namespace sonde::cli
