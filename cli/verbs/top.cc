// SPDX-License-Identifier: Apache-2.0
// Threads by CPU now, each with its hottest function: once, or refreshed in place until q.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <sstream>

#include "cli/capture.h"
#include "cli/connection.h"
#include "cli/cpu_summary.h"
#include "cli/interrupt.h"
#include "cli/profile_view.h"
#include "cli/render_agentless.h"
#include "cli/render_report.h"
#include "cli/thread_cpu.h"
#include "cli/verbs/verbs.h"
#include "profile/function_name.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  int seconds = 2;
  size_t rows = 20;
  bool once = false;
  bool json = false;
};

struct Moment {
  std::vector<ThreadCpuRow> rows;
  double seconds = 0;
  int64_t unix_ms = 0;
  bool cpu_is_off = false;
};

Moment Measure(Connection* connection, const Options& options) {
  CaptureOptions capture;
  capture.seconds = options.seconds;
  const Captured captured = CaptureCpu(connection, capture);
  const pprof::Profile profile = ReadProfile(captured.profile);
  Moment moment;
  moment.rows = ThreadsByCpu(profile, captured.only_pid);
  moment.seconds = static_cast<double>(profile.duration_nanos) / 1e9;
  moment.unix_ms = profile.time_nanos / 1'000'000;
  moment.cpu_is_off = captured.cpu_is_off;
  return moment;
}

void Render(std::ostream& out, const Terminal& terminal, const Connection& connection,
            const Moment& moment, size_t at_most) {
  Page page(out, terminal);
  const std::string process =
      connection.is_agent() ? ProcessOf(connection.status()) : connection.description();
  page.Title(process + "  threads by CPU over " + Seconds(moment.seconds) + "  " +
             UtcTime(moment.unix_ms));
  out << PadLeft("CPU", 6) << "  " << PadLeft("pid", 7) << "  " << PadLeft("tid", 7) << "  "
      << PadRight("thread", 16) << "  hottest function\n";
  constexpr size_t kNumbers = 6 + 2 + 7 + 2 + 7 + 2 + 16 + 2;
  const size_t room = terminal.width > kNumbers + 10 ? terminal.width - kNumbers : 10;
  for (size_t i = 0; i < std::min(at_most, moment.rows.size()); ++i) {
    const ThreadCpuRow& row = moment.rows[i];
    const std::string function =
        Percent(row.function_ns, row.ns) + " in " + ShortFunctionName(Printable(row.function));
    out << PadLeft(Percent(row.ns, moment.seconds * 1e9), 6) << "  "
        << PadLeft(std::to_string(row.pid), 7) << "  " << PadLeft(std::to_string(row.tid), 7)
        << "  " << PadRight(Ellipsis(Printable(row.name), 16), 16) << "  "
        << Ellipsis(function, room) << "\n";
  }
  if (moment.rows.empty()) out << "no CPU was burnt\n";
  if (moment.cpu_is_off) out << "CPU sampling is off\n";
}

nlohmann::json ToJson(const Moment& moment) {
  nlohmann::json threads = nlohmann::json::array();
  for (const ThreadCpuRow& row : moment.rows) {
    threads.push_back({{"pid", row.pid},
                       {"tid", row.tid},
                       {"name", row.name},
                       {"share_of_a_core", moment.seconds > 0 ? row.ns / 1e9 / moment.seconds : 0},
                       {"hottest_function", row.function},
                       {"hottest_share", row.ns > 0 ? row.function_ns / row.ns : 0}});
  }
  return {
      {"time_unix_ms", moment.unix_ms}, {"window_seconds", moment.seconds}, {"threads", threads}};
}

// Keys arrive one by one and are not shown, for its life.
class RawKeys {
 public:
  RawKeys() : is_terminal_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!is_terminal_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~RawKeys() {
    if (is_terminal_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  RawKeys(const RawKeys&) = delete;
  RawKeys& operator=(const RawKeys&) = delete;

  [[nodiscard]] bool QuitPressed() const {
    pollfd keys{STDIN_FILENO, POLLIN, 0};
    char key = 0;
    while (is_terminal_ && poll(&keys, 1, 0) == 1 && read(STDIN_FILENO, &key, 1) == 1) {
      if (key == 'q' || key == 'Q') return true;
    }
    return false;
  }

 private:
  termios before_{};
  const bool is_terminal_;
};

ExitCode Watch(Connection* connection, const Options& options) {
  const RawKeys keys;
  while (!keys.QuitPressed()) {
    const Moment moment = Measure(connection, options);
    ThrowIfInterrupted();
    std::ostringstream page;
    Render(page, TerminalOf(STDOUT_FILENO), *connection, moment, options.rows);
    std::cout << "\x1b[H\x1b[2J" << page.str() << "q quits\n" << std::flush;
  }
  return ExitCode::kClean;
}

ExitCode Top(const Options& options) {
  try {
    Connection connection = Connection::Open(options.target);
    if (!options.once && !options.json && isatty(STDOUT_FILENO) == 1) {
      return Watch(&connection, options);
    }
    const Moment moment = Measure(&connection, options);
    if (options.json) {
      std::cout << ToJson(moment).dump(2, ' ', false, kReplaceBadUtf8) << "\n";
    } else {
      Render(std::cout, TerminalOf(STDOUT_FILENO), connection, moment, options.rows);
    }
    return moment.cpu_is_off ? ExitCode::kInconclusive : ExitCode::kClean;
  } catch (const NoAgent& none) {
    return ShowWithoutAgent(none, options.json);
  }
}

}  // namespace

Action DeclareTop(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  verb->add_flag("--once", options->once, "One look, for scripts; so it is without a terminal");
  verb->add_option("-s,--seconds", options->seconds, "Length of each look")
      ->check(InRange(1, 60))
      ->type_name("SECONDS")
      ->capture_default_str();
  verb->add_option("-t,--top", options->rows, "How many threads")
      ->check(InRange(1, 100'000))
      ->type_name("N")
      ->capture_default_str();
  verb->add_flag("--json", options->json, "Answer in JSON");
  return [options] { return Top(*options); };
}

}  // namespace sonde::cli
