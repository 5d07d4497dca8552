// SPDX-License-Identifier: Apache-2.0
#include "cli/render_findings.h"

#include <algorithm>

#include "cli/json_parts.h"
#include "cli/render_cpu.h"
#include "profile/function_name.h"

namespace sonde::cli {
namespace {

using nlohmann::json;

constexpr double kMostOfIt = 0.7;  // as in the agent's sentence

struct KindLabel {
  const char* kind;
  const char* label;
};
constexpr KindLabel kLabels[] = {{"hot_thread", "HOT NOW"},      {"hot_process", "HOT NOW"},
                                 {"cpu_throttled", "THROTTLED"}, {"stuck_thread", "STUCK"},
                                 {"deadlock", "DEADLOCK"},       {"thread_leak", "LEAKED"}};

std::string LabelOf(const json& finding) {
  if (!finding.value("active", true)) return "ENDED";
  const std::string kind = TextIn(finding, "kind");
  for (const KindLabel& row : kLabels) {
    if (kind == row.kind) return row.label;
  }
  return "FOUND";
}

int64_t Milliseconds(const json& finding, const char* name) {
  return static_cast<int64_t>(NumberIn(finding, name, 0));
}

// "09:08:01"
std::string TimeOfDay(int64_t unix_ms) {
  const std::string text = UtcTime(unix_ms);
  return text.size() > 19 ? text.substr(11, 8) : text;
}

std::string When(const json& finding) {
  std::string text = ", since " + TimeOfDay(Milliseconds(finding, "since_unix_ms"));
  const int64_t until = Milliseconds(finding, "until_unix_ms");
  return until == 0 ? text : ", until " + TimeOfDay(until);
}

void RenderStack(Page* page, const json& stack, bool titled) {
  std::vector<std::string> functions;
  for (const json& frame : ListIn(stack, "frames")) {
    const std::string function = TextIn(frame, "function");
    functions.push_back(function.empty() ? TextIn(frame, "text") : function);
  }
  if (functions.empty()) return;
  const double share = NumberIn(stack, "share", -1);
  if (titled && share < 0) page->More(Printable(TextIn(stack, "title")) + ":");
  const std::string prefix = share >= 0 ? PadLeft(Percent(share, 1), 5) + "  " : "  ";
  page->More(prefix + OneLineStack(functions, page->text_width() - DisplayWidth(prefix)));
}

// "84 % exec_stmt, 51 % ExecInterpExpr": those of which it tells more than the stacks do.
std::string FunctionsLine(const json& finding) {
  std::string line;
  for (const json& function : ListIn(finding, "functions")) {
    const double share = NumberIn(function, "share", 0);
    const bool of_most = share >= kMostOfIt;
    if (of_most && !line.empty()) continue;
    const std::string name = TextIn(function, "function");
    if (!line.empty()) line += ", ";
    line += Percent(share, 1) + " " +
            (name.empty() ? TextIn(function, "text") : ShortFunctionName(name));
  }
  return line;
}

// Where no stack says it all.
void RenderFunctions(Page* page, const json& finding) {
  const json& stacks = ListIn(finding, "stacks");
  if (stacks.empty() || NumberIn(stacks[0], "share", 1) >= kMostOfIt) return;
  const std::string line = Printable(FunctionsLine(finding));
  if (!line.empty()) page->More("  cum  " + Ellipsis(line, page->text_width() - 7));
}

}  // namespace

json FetchFindings(Connection* connection) {
  json answer = json::parse(connection->Get("/debug/sonde/findings"), nullptr, false);
  if (!answer.is_object()) throw Failure("the agent's answer is no JSON");
  if (connection->only_pid() == 0) return answer;
  json kept = json::array();
  for (const json& finding : ListIn(answer, "findings")) {
    if (Milliseconds(finding, "pid") == connection->only_pid()) kept.push_back(finding);
  }
  answer["findings"] = std::move(kept);
  return answer;
}

json ChooseFindings(const json& answer, const std::vector<std::string>& kinds, int64_t window_ms) {
  const int64_t from = Milliseconds(answer, "now_unix_ms") - window_ms;
  json chosen = json::array();
  for (const json& finding : ListIn(answer, "findings")) {
    const std::string kind = TextIn(finding, "kind");
    if (!kinds.empty() && std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) continue;
    const int64_t until = Milliseconds(finding, "until_unix_ms");
    if (until == 0 || until >= from) chosen.push_back(finding);
  }
  return chosen;
}

void RenderFinding(Page* page, const json& finding) {
  page->Line(LabelOf(finding), Printable("pid " + std::to_string(Milliseconds(finding, "pid")) +
                                         "  " + TextIn(finding, "sentence") + When(finding)));
  for (const json& stack : ListIn(finding, "stacks")) {
    RenderStack(page, stack, ListIn(finding, "stacks").size() > 1);
  }
  RenderFunctions(page, finding);
}

void RenderNotSearched(Page* page, const json& answer) {
  bool first = true;
  for (const json& sentence : ListIn(answer, "not_searched")) {
    if (!sentence.is_string()) continue;
    page->Line(first ? "unseen" : "", Printable(sentence.get<std::string>()));
    first = false;
  }
}

std::string NextOf(const json& finding, const std::string& target) {
  std::string next = TextIn(finding, "next");
  constexpr std::string_view kTarget = "TARGET";
  for (size_t at = next.find(kTarget); at != next.npos;
       at = next.find(kTarget, at + target.size())) {
    next.replace(at, kTarget.size(), target);
  }
  return Printable(next);
}

}  // namespace sonde::cli
