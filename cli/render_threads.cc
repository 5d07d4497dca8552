// SPDX-License-Identifier: Apache-2.0
#include "cli/render_threads.h"

#include <algorithm>
#include <vector>

#include "cli/json_parts.h"
#include "cli/render_cpu.h"

namespace sonde::cli {
namespace {

using nlohmann::json;

constexpr size_t kNamesInText = 6;
constexpr size_t kCountWidth = 5;

std::vector<std::string> FunctionsOf(const json& group) {
  std::vector<std::string> functions;
  for (const json& frame : ListIn(group, "frames")) {
    const std::string function = TextIn(frame, "function");
    functions.push_back(function.empty() ? TextIn(frame, "text") : function);
  }
  return functions;
}

double LongestWait(const json& group) {
  double longest = -1;
  for (const json& thread : ListIn(group, "threads")) {
    longest = std::max(longest, NumberIn(thread, "wait_seconds", -1));
  }
  return longest;
}

// "worker-1 (tid 12), worker-2 (tid 13), 4 more"
std::string Names(const json& threads) {
  std::string text;
  for (size_t i = 0; i < std::min(kNamesInText, threads.size()); ++i) {
    const std::string name = Printable(TextIn(threads[i], "name"));
    const std::string tid =
        "tid " + std::to_string(static_cast<int64_t>(NumberIn(threads[i], "tid", 0)));
    text += (i == 0 ? "" : ", ") + (name.empty() ? tid : name + " (" + tid + ")");
  }
  if (threads.size() > kNamesInText) {
    text += ", " + std::to_string(threads.size() - kNamesInText) + " more";
  }
  return text;
}

// "waiting in futex" and what for, if all wait for one thing.
std::string StateOf(const json& group) {
  std::string text = TextIn(group, "state");
  const std::string place = TextIn(group, "place");
  if (!place.empty()) text += " in " + place;
  const json& threads = ListIn(group, "threads");
  std::string wait = threads.empty() ? "" : TextIn(threads[0], "wait");
  for (const json& thread : threads) {
    if (TextIn(thread, "wait") != wait) wait.clear();
  }
  return Printable(text + (wait.empty() ? "" : ": " + wait));
}

std::string Doubts(const json& group) {
  std::string text = TextIn(group, "problem");
  const std::string note = TextIn(group, "note");
  if (!note.empty()) text += (text.empty() ? "" : "; ") + note;
  return Printable(text);
}

void RenderGroup(std::ostream& out, const Terminal& terminal, const json& group) {
  const json& threads = ListIn(group, "threads");
  const std::string indent(kCountWidth + 2, ' ');
  const size_t room = terminal.width > indent.size() ? terminal.width - indent.size() : 1;
  const double longest = LongestWait(group);
  out << PadLeft(std::to_string(threads.size()), kCountWidth) << "  " << StateOf(group)
      << (longest >= 0 ? ", up to " + Seconds(longest) : "") << "\n";
  const std::vector<std::string> functions = FunctionsOf(group);
  if (!functions.empty()) out << indent << OneLineStack(functions, room) << "\n";
  out << indent << Ellipsis(Names(threads), room) << "\n";
  if (const std::string doubts = Doubts(group); !doubts.empty()) {
    out << indent << "(" << doubts << ")\n";
  }
}

void RenderFrames(std::ostream& out, const json& group) {
  size_t number = 0;
  for (const json& frame : ListIn(group, "frames")) {
    const bool inferred = frame.value("inferred", false);
    out << "  #" << PadRight(std::to_string(number++), 3) << Printable(TextIn(frame, "text"))
        << "  " << Printable(TextIn(frame, "module")) << (inferred ? "  (inferred)" : "") << "\n";
  }
  if (const std::string doubts = Doubts(group); !doubts.empty()) out << "  (" << doubts << ")\n";
}

void RenderThread(std::ostream& out, const json& group, const json& thread) {
  std::string state = TextIn(group, "state");
  if (const std::string place = TextIn(group, "place"); !place.empty()) state += " in " + place;
  if (const std::string wait = TextIn(thread, "wait"); !wait.empty()) state += ": " + wait;
  const double waited = NumberIn(thread, "wait_seconds", -1);
  out << "thread " << static_cast<int64_t>(NumberIn(thread, "tid", 0)) << " "
      << Printable(TextIn(thread, "name")) << "  " << Printable(state)
      << (waited >= 0 ? ", for " + Seconds(waited) : "") << "; CPU "
      << Seconds(NumberIn(thread, "cpu_seconds", 0));
  if (const double age = NumberIn(thread, "age_seconds", -1); age >= 0)
    out << ", age " << Seconds(age);
  out << "\n";
  RenderFrames(out, group);
  out << "\n";
}

}  // namespace

json FilterThreads(const json& dump, const ThreadsQuestion& question) {
  if (question.state.empty()) return dump;
  json left = dump;
  left["groups"] = json::array();
  for (const json& group : ListIn(dump, "groups")) {
    if (TextIn(group, "state") == question.state) left["groups"].push_back(group);
  }
  return left;
}

ThreadsCount CountThreads(const json& dump) {
  ThreadsCount count;
  for (const json& group : ListIn(dump, "groups")) {
    const size_t threads = ListIn(group, "threads").size();
    count.all += threads;
    if (ListIn(group, "frames").empty()) count.without_stack += threads;
  }
  return count;
}

void RenderThreads(std::ostream& out, const Terminal& terminal, const ThreadsHeader& header,
                   const json& dump, const ThreadsQuestion& question) {
  Page page(out, terminal);
  const ThreadsCount count = CountThreads(dump);
  const json& groups = ListIn(dump, "groups");
  std::string title = header.process + "  " + header.source + "  " + Thousands(count.all) +
                      (count.all == 1 ? " thread" : " threads") + " in " +
                      Thousands(groups.size()) + (groups.size() == 1 ? " place" : " places");
  const auto at = static_cast<int64_t>(NumberIn(dump, "now_unix_ms", 0));
  if (at > 0) title += "  " + UtcTime(at);
  page.Title(title);
  for (const json& group : groups) {
    if (!question.all) {
      RenderGroup(out, terminal, group);
      continue;
    }
    for (const json& thread : ListIn(group, "threads")) RenderThread(out, group, thread);
  }
  if (count.all == 0 && !question.state.empty()) {
    out << "no thread is " << question.state << " now\n";
  }
  if (const double cost = NumberIn(dump, "agent_cpu_ms", -1); cost >= 0) {
    page.Line("cost", Fixed(cost, 1) + " ms of CPU; no thread was stopped or interrupted");
  }
  for (const std::string& cost : header.costs) page.Line("cost", cost);
  for (const json& problem : ListIn(dump, "problems"))
    if (problem.is_string()) page.Line("missing", Printable(problem.get<std::string>()));
  if (!header.next.empty()) page.Line("next", header.next);
}

}  // namespace sonde::cli
