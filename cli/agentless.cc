// SPDX-License-Identifier: Apache-2.0
#include "cli/agentless.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "cli/interrupt.h"
#include "cli/outcome.h"
#include "cli/proc.h"
#include "cli/program.h"

namespace sonde::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kLongestCommand = 60;  // that is worth repeating in a hint

std::string Proc(int pid, const std::string& file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

std::map<int, ProcessStat> ReadThreads(int pid) {
  std::map<int, ProcessStat> threads;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(Proc(pid, "task"), error)) {
    const auto text = ReadSmallFile(entry.path() / "stat");
    const auto stat = text ? ParseStat(*text) : std::nullopt;
    if (stat) threads[atoi(entry.path().filename().c_str())] = *stat;
  }
  return threads;
}

int CountOpenFiles(int pid) {
  std::error_code error;
  int count = 0;
  for (auto it = std::filesystem::directory_iterator(Proc(pid, "fd"), error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error))
    ++count;
  return error ? -1 : count;
}

void ReadMemory(int pid, AgentlessLook* look) {
  const std::pair<std::string_view, uint64_t*> fields[] = {{"VmRSS:", &look->rss_kib},
                                                           {"RssAnon:", &look->anonymous_kib},
                                                           {"RssFile:", &look->file_kib},
                                                           {"RssShmem:", &look->shared_kib},
                                                           {"VmSwap:", &look->swap_kib}};
  std::istringstream lines(ReadSmallFile(Proc(pid, "status")).value_or(""));
  for (std::string line; std::getline(lines, line);)
    for (const auto& [name, value] : fields)
      if (line.starts_with(name)) *value = strtoull(line.c_str() + name.size(), nullptr, 10);
}

void Sleep(milliseconds time) {
  const auto end = steady_clock::now() + time;
  while (true) {
    ThrowIfInterrupted();
    const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now()).count();
    if (left <= 0) return;
    poll(nullptr, 0, static_cast<int>(left));
  }
}

bool HasAgentMapped(int pid) {
  const auto maps = ReadSmallFile(Proc(pid, "maps"), size_t{64} << 20);
  return maps && maps->find("libsonde") != std::string::npos;
}

}  // namespace

WhyNoAgent ExplainNoAgent(int pid) {
  const std::string process = "pid " + std::to_string(pid);
  const std::string command = CommandLineOf(pid, kLongestCommand);
  const bool whole = !command.empty() && !command.ends_with("…");
  const std::string start = "start it as: sonde run -- " + (whole ? command : "its command line");
  if (HasAgentMapped(pid))
    return {process + " has the agent loaded, but it does not answer",
            "it may be switched off or dormant, may listen in a run directory or port of its own "
            "(SONDE_RUN_DIR, --port), or belong to another user"};
  const ProgramCheck program = CheckProgram(Proc(pid, "exe"));
  if (program.verdict == ProgramCheck::Verdict::kStatic)
    return {
        "no agent in " + process + ": it is a static program, the loader ignores LD_PRELOAD here",
        "if it is Go and serves net/http/pprof: sonde cpu " + std::to_string(pid) + " --port 6060"};
  return {"no agent in " + process + ": it was started without libsonde.so",
          start + "   (a restart loses the evidence; look below first)"};
}

AgentlessLook LookWithoutAgent(int pid, milliseconds window) {
  AgentlessLook look;
  look.pid = pid;
  look.command = CommandLineOf(pid);
  const auto before = ReadThreads(pid);
  const auto start = steady_clock::now();
  Sleep(window);
  const auto after = ReadThreads(pid);
  look.window_seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
  if (after.empty()) throw Failure("process " + std::to_string(pid) + " has ended");
  const double ticks_to_percent =
      100.0 / (static_cast<double>(sysconf(_SC_CLK_TCK)) * look.window_seconds);
  for (const auto& [tid, stat] : after) {
    const auto old = before.find(tid);
    const uint64_t base = old != before.end() ? old->second.cpu_ticks : 0;
    const uint64_t used = stat.cpu_ticks - std::min(base, stat.cpu_ticks);
    look.threads.push_back({tid, stat.name, static_cast<double>(used) * ticks_to_percent});
    look.percent_of_core += look.threads.back().percent_of_core;
  }
  std::stable_sort(look.threads.begin(), look.threads.end(), [](const auto& a, const auto& b) {
    return a.percent_of_core > b.percent_of_core;
  });
  ReadMemory(pid, &look);
  look.open_files = CountOpenFiles(pid);
  return look;
}

}  // namespace sonde::cli
