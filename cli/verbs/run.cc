// SPDX-License-Identifier: Apache-2.0
// sonde run -- COMMAND: becomes the command, with the agent preloaded. exec keeps the pid, so the
// process is named to the agent by it, and whatever starts the command sees no extra process.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>

#include "cli/preload.h"
#include "cli/render.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

constexpr const char* kOwnAllocator = "own";
constexpr const char* kTcmalloc = "tcmalloc";

struct Options {
  std::vector<std::string> command;
  std::string agent;
  std::string allocator = kOwnAllocator;
  std::map<std::string, std::string> settings;  // SONDE_* by name
  std::vector<std::string> assignments;         // --set cpu_hz=200
  bool print = false;
};

// An option that is the short way to write one SONDE_* variable.
struct Shorthand {
  const char* option;
  const char* variable;
  const char* help;
  const char* type;
};

constexpr Shorthand kShorthands[] = {
    {"--hz", "SONDE_CPU_HZ", "Samples per second of CPU time", "HZ"},
    {"--listen", "SONDE_LISTEN", "Where profiles are served", "ADDRESS"},
    {"--metrics-listen", "SONDE_METRICS_LISTEN", "Where /metrics alone is served", "ADDRESS"},
    {"--run-dir", "SONDE_RUN_DIR", "Directory of the unix socket", "DIR"},
    {"--dir", "SONDE_DIR", "Memory-backed directory for the region file", "DIR"},
    {"--token-file", "SONDE_TOKEN_FILE", "File with the token that permits changes", "FILE"},
    {"--config", "SONDE_CONFIG", "File of settings, watched for change", "FILE"},
};

void AddAssignments(Options* options) {
  for (const std::string& assignment : options->assignments) {
    const auto [name, value] = SplitAssignment(assignment);
    options->settings[EnvironmentName(name)] = value;
  }
}

void Print(const std::map<std::string, std::string>& variables,
           const std::vector<std::string>& command) {
  for (const auto& [name, value] : variables) std::cout << name << "=" << value << "\n";
  std::cout << "exec";
  for (const std::string& word : command) std::cout << " " << word;
  std::cout << "\n";
}

[[noreturn]] void Become(const std::map<std::string, std::string>& variables,
                         const std::string& program, const std::vector<std::string>& command) {
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  throw Failure("cannot start " + program + ": " + strerror(errno));
}

std::string AgentOf(const Options& options) {
  const bool tcmalloc = options.allocator == kTcmalloc;
  if (tcmalloc && !options.agent.empty())
    throw UsageError("--allocator tcmalloc is another agent library: expected no --agent with it");
  return FindAgentLibrary(options.agent, tcmalloc ? kTcmallocAgentName : kAgentName);
}

ExitCode Run(Options options) {
  const std::vector<std::string>& command = options.command;
  if (command.empty())
    throw UsageError("no command given: expected sonde run [options] -- COMMAND [arguments]");
  AddAssignments(&options);
  const std::string agent = AgentOf(options);
  const std::string program = FindPreloadableProgram(command[0]);
  auto variables = options.settings;
  const char* preload = getenv("LD_PRELOAD");
  variables["LD_PRELOAD"] = JoinPreload(agent, preload != nullptr ? preload : "");
  variables.insert({"SONDE_TARGET", "pid:" + std::to_string(getpid())});
  if (options.print) {
    Print(variables, command);
    return ExitCode::kClean;
  }
  if (TerminalOf(STDERR_FILENO).is_terminal)
    std::cerr << "sonde: in another terminal: sonde cpu " << getpid() << "\n";
  Become(variables, program, command);
}

}  // namespace

Action DeclareRun(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  verb->footer("sonde run [OPTIONS] -- COMMAND [ARGUMENTS...]");
  verb->add_option("--agent", options->agent,
                   "libsonde.so to preload (default: the one beside sonde)")
      ->type_name("FILE");
  verb->add_option(
          "--allocator", options->allocator,
          "Whose malloc the command gets: its own, or Sonde's tcmalloc in place of glibc's")
      ->type_name("own|tcmalloc")
      ->check(CLI::IsMember({kOwnAllocator, kTcmalloc}));
  for (const Shorthand& shorthand : kShorthands) {
    const std::string variable = shorthand.variable;
    verb->add_option_function<std::string>(
            shorthand.option,
            [options, variable](const std::string& value) { options->settings[variable] = value; },
            std::string(shorthand.help) + " (" + variable + ")")
        ->type_name(shorthand.type);
  }
  verb->add_option("--set", options->assignments, "Any other setting, as name=value; repeatable")
      ->type_name("NAME=VALUE")
      ->take_all();
  verb->add_flag("--print", options->print, "Show what would be set and started, and stop");
  verb->add_option("COMMAND", options->command, "The command and its arguments, behind --")
      ->type_name("")
      ->expected(-1);
  return [options] { return Run(*options); };
}

}  // namespace sonde::cli
