// SPDX-License-Identifier: Apache-2.0
#include "cli/render_report.h"

#include <algorithm>
#include <cmath>

#include "cli/render_tree.h"
#include "profile/function_name.h"

namespace sonde::cli {
namespace {

constexpr size_t kThreadsInText = 6;
constexpr size_t kLongestStack = 20;  // frames, when the width does not limit
constexpr size_t kPercentWidth = 7;
constexpr size_t kGap = 3;

// A value's share; in a difference of two profiles it has a sign.
std::string Share(double part, double whole) {
  return part < 0 ? "-" + Percent(-part, whole) : Percent(part, whole);
}

std::string RowName(const ReportRow& row, const std::string& by) {
  if (by == "function") return ShortFunctionName(row.name);
  if (by != "line") return row.name;
  return ShortFunctionName(row.name) + (row.place.empty() ? "" : "  " + row.place);
}

class Table {
 public:
  Table(std::ostream& out, const Terminal& terminal, const ProfileView& view)
      : out_(out), terminal_(terminal), view_(view) {}

  void Print(const std::vector<ReportRow>& rows) {
    has_values_ = view_.value().unit != "nanoseconds";
    const size_t top = view_.question().top == 0 ? kDefaultRows : view_.question().top;
    const size_t shown = std::min(top, rows.size());
    Head();
    for (size_t i = 0; i < shown; ++i) Row(rows[i]);
    if (shown == rows.size()) return;
    out_ << std::string(width_, ' ') << "… " << rows.size() - shown << " more: --top "
         << std::min(rows.size(), shown * 5) << "\n";
  }

 private:
  void Head() {
    width_ = kPercentWidth + kPercentWidth + 2 + kGap + (has_values_ ? 2 * kValueWidth : 0);
    if (has_values_) out_ << PadLeft("flat", kValueWidth);
    out_ << PadLeft(has_values_ ? "" : "flat", kPercentWidth);
    if (has_values_) out_ << PadLeft("cum", kValueWidth);
    out_ << PadLeft(has_values_ ? "" : "cum", kPercentWidth + 2) << std::string(kGap, ' ')
         << view_.question().by << "\n";
  }

  void Column(double value, size_t width) {
    if (has_values_) out_ << PadLeft(FormatValue(value, view_.value().unit), kValueWidth);
    out_ << PadLeft(Share(value, view_.total()), width);
  }

  void Row(const ReportRow& row) {
    Column(row.flat, kPercentWidth);
    Column(row.cumulative, kPercentWidth + 2);
    const std::string name = Printable(RowName(row, view_.question().by));
    out_ << std::string(kGap, ' ') << Ellipsis(name, terminal_.width - width_) << "\n";
  }

  static constexpr size_t kValueWidth = 11;
  std::ostream& out_;
  const Terminal& terminal_;
  const ProfileView& view_;
  bool has_values_ = false;
  size_t width_ = 0;
};

bool SeveralProcesses(const std::vector<ReportThread>& threads) {
  return std::any_of(threads.begin(), threads.end(),
                     [&](const ReportThread& thread) { return thread.pid != threads[0].pid; });
}

std::string ThreadLine(const ProfileView& view) {
  const auto& threads = view.threads();
  const bool several = SeveralProcesses(threads);
  std::string line;
  for (size_t i = 0; i < std::min(kThreadsInText, threads.size()); ++i) {
    const ReportThread& thread = threads[i];
    line += (line.empty() ? "" : ", ") + thread.name;
    if (thread.tid > 0)
      line += " (" + (several ? "pid " + std::to_string(thread.pid) + " " : std::string()) +
              "tid " + std::to_string(thread.tid) + ")";
    line += " " + Share(thread.value, view.shown());
  }
  if (threads.size() > kThreadsInText)
    line += ", " + std::to_string(threads.size() - kThreadsInText) + " more";
  return line;
}

std::string FilterLine(const ProfileView& view) {
  const ReportQuestion& question = view.question();
  std::string line;
  if (!question.focus.empty()) line += "focus " + question.focus + " ";
  if (!question.ignore.empty()) line += "ignore " + question.ignore + " ";
  return line + "leaves " + Percent(view.shown(), view.total()) + "; percentages are of everything";
}

nlohmann::json RowsToJson(const ProfileView& view) {
  const std::vector<ReportRow> rows = view.Rows();
  const size_t top = view.question().top == 0 ? kDefaultRows : view.question().top;
  nlohmann::json list = nlohmann::json::array();
  for (size_t i = 0; i < std::min(top, rows.size()); ++i)
    list.push_back({{"name", rows[i].name},
                    {"place", rows[i].place},
                    {"module", rows[i].module},
                    {"flat", rows[i].flat},
                    {"cumulative", rows[i].cumulative}});
  return list;
}

nlohmann::json ThreadsToJson(const ProfileView& view) {
  nlohmann::json threads = nlohmann::json::array();
  for (const ReportThread& thread : view.threads())
    threads.push_back(
        {{"name", thread.name}, {"tid", thread.tid}, {"pid", thread.pid}, {"value", thread.value}});
  return threads;
}

}  // namespace

std::string FormatValue(double value, const std::string& unit) {
  if (value < 0) return "-" + FormatValue(-value, unit);
  if (unit == "nanoseconds") return Seconds(value / 1e9);
  if (unit == "bytes") return Bytes(value);
  const std::string number = Thousands(static_cast<uint64_t>(std::llround(value)));
  return unit == "count" || unit.empty() ? number : number + " " + unit;
}

std::string ShortFrameName(const pprof::Frame& frame, const std::string& by) {
  return frame.is_label || by == "module" ? frame.name : ShortFunctionName(frame.name);
}

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

void RenderReport(std::ostream& out, const Terminal& terminal, const ProfileView& view) {
  if (view.question().tree) return RenderTree(out, terminal, view);
  Table(out, terminal, view).Print(view.Rows());
}

void RenderReportEvidence(Page* page, const ProfileView& view) {
  const ReportQuestion& question = view.question();
  if (!question.focus.empty() || !question.ignore.empty()) page->Line("filter", FilterLine(view));
  if (!view.threads().empty() && question.by != "thread") page->Line("threads", ThreadLine(view));
  const ReportStack heaviest = view.Heaviest();
  if (heaviest.frames.empty()) return;
  const std::string share = Percent(heaviest.value, view.total()) + "  ";
  page->Line("heaviest",
             share + OneLineStack(heaviest.frames, page->text_width() - DisplayWidth(share)));
}

nlohmann::json LossesToJson(const ProfileView& view) {
  nlohmann::json losses = nlohmann::json::array();
  for (const ReportLoss& loss : view.losses())
    losses.push_back({{"name", loss.name}, {"value", loss.value}});
  return losses;
}

nlohmann::json ReportToJson(const ProfileView& view) {
  const ReportStack heaviest = view.Heaviest();
  nlohmann::json json = {
      {"type", view.value().type},
      {"unit", view.value().unit},
      {"total", view.total()},
      {"shown", view.shown()},
      {"by", view.question().by},
      {"threads", ThreadsToJson(view)},
      {"heaviest_stack", {{"frames", heaviest.frames}, {"value", heaviest.value}}}};
  if (view.question().tree)
    json["tree"] = TreeToJson(view);
  else
    json["rows"] = RowsToJson(view);
  return json;
}

}  // namespace sonde::cli
