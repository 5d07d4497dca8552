// SPDX-License-Identifier: Apache-2.0
#include "cli/render_agentless.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cli/agentless.h"
#include "cli/render.h"

namespace sonde::cli {
namespace {

constexpr std::chrono::milliseconds kWindow{2'000};
constexpr size_t kThreadsInText = 5;

std::string KiB(uint64_t kib) { return Bytes(static_cast<double>(kib) * 1024); }

std::string ThreadLine(const AgentlessLook& look) {
  std::string line = Thousands(look.threads.size());
  for (size_t i = 0; i < std::min(kThreadsInText, look.threads.size()); ++i) {
    const ThreadUse& thread = look.threads[i];
    if (thread.percent_of_core <= 0) break;
    line += (i == 0 ? ", busiest: " : ", ") + thread.name + " (tid " + std::to_string(thread.tid) +
            ") " + Percent(thread.percent_of_core, 100) + " of a core";
  }
  return line;
}

void RenderText(const NoAgent& none, const AgentlessLook& look) {
  Page page(std::cout, TerminalOf(STDOUT_FILENO));
  page.Title("NO AGENT  " + std::string(none.what()));
  page.Line("process", "pid " + std::to_string(look.pid) + "  " + look.command);
  page.Line("CPU",
            Percent(look.percent_of_core, 100) + " of a core over " + Seconds(look.window_seconds));
  page.Line("threads", ThreadLine(look));
  page.Line("RSS", KiB(look.rss_kib) + " = anonymous " + KiB(look.anonymous_kib) + " + files " +
                       KiB(look.file_kib) + " + shared " + KiB(look.shared_kib) + ", swap " +
                       KiB(look.swap_kib));
  if (look.open_files >= 0)
    page.Line("files", Thousands(static_cast<uint64_t>(look.open_files)) + " open");
  page.Line("unseen",
            "functions: these need the agent; where its threads stand: sonde threads --pid " +
                std::to_string(look.pid) + " (stops it for a moment)");
  page.Line("next", none.next());
}

nlohmann::json ToJson(const NoAgent& none, const AgentlessLook& look) {
  nlohmann::json threads = nlohmann::json::array();
  for (const ThreadUse& thread : look.threads)
    threads.push_back(
        {{"tid", thread.tid}, {"name", thread.name}, {"percent_of_core", thread.percent_of_core}});
  return {{"agent", false},
          {"why", none.what()},
          {"pid", look.pid},
          {"command", look.command},
          {"window_seconds", look.window_seconds},
          {"percent_of_core", look.percent_of_core},
          {"rss_kib", look.rss_kib},
          {"rss_anonymous_kib", look.anonymous_kib},
          {"rss_file_kib", look.file_kib},
          {"rss_shared_kib", look.shared_kib},
          {"swap_kib", look.swap_kib},
          {"open_files", look.open_files},
          {"threads", threads},
          {"next", none.next()}};
}

}  // namespace

ExitCode ShowWithoutAgent(const NoAgent& none, bool json) {
  const AgentlessLook look = LookWithoutAgent(none.pid(), kWindow);
  if (json)
    std::cout << ToJson(none, look).dump(2) << "\n";
  else
    RenderText(none, look);
  return ExitCode::kInconclusive;
}

}  // namespace sonde::cli
