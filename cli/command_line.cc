// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <algorithm>
#include <iostream>

#include "cli/interrupt.h"
#include "cli/render.h"

namespace sonde::cli {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 clean or done, 1 error, 2 usage, 3 finding, 4 inconclusive or not covered, "
    "5 some pods failed.";

// One error, in one place: what is wrong, then what to do.
void Complain(const std::string& what, const std::string& next) {
  std::cerr << "sonde: " << Printable(what) << "\n";
  if (!next.empty()) std::cerr << "       " << Printable(next) << "\n";
}

ExitCode ReportParseError(const CommandLine& line, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {  // --help
    line.root.exit(error, std::cout, std::cerr);
    return ExitCode::kClean;
  }
  const auto used = line.root.get_subcommands();
  const std::string verb = used.empty() ? "" : " " + used.front()->get_name();
  Complain(error.what(), "try: sonde" + verb + " --help");
  return ExitCode::kUsage;
}

ExitCode RunAction(const Action& action) {
  try {
    return action();
  } catch (const CliError& error) {
    Complain(error.what(), error.next());
    return error.code();
  } catch (const std::bad_alloc&) {
    Complain("out of memory", "");
  } catch (const std::exception& error) {
    Complain(error.what(), "");
  }
  return ExitCode::kError;
}

// "sonde cpuu 42" is read as the front door with a word too many: say which verb may be meant.
std::string UnknownVerb(const CommandLine& line, int argc, const char* const* argv) {
  if (argc < 3 || argv[1][0] == '-' || !line.root.get_subcommands().empty()) return "";
  const std::string word = argv[1];
  if (word.find_first_of("/:.@0123456789") != std::string::npos) return "";
  std::string names;
  for (const Verb& verb : Verbs()) names += (names.empty() ? "" : " ") + std::string(verb.name);
  return "'" + word + "' is no verb: expected one of " + names;
}

}  // namespace

std::unique_ptr<CommandLine> BuildCommandLine() {
  auto line = std::make_unique<CommandLine>();
  CLI::App& root = line->root;
  root.name("sonde");
  root.footer(kFooter);
  root.require_subcommand(0, 1);
  root.get_formatter()->column_width(34);
  root.get_formatter()->label("SUBCOMMAND", "VERB");
  CommandLine* owner = line.get();
  const Action look = DeclareLook(&root);
  owner->chosen = look;
  for (const Verb& verb : Verbs()) {
    CLI::App* sub = root.add_subcommand(verb.name, verb.summary);
    sub->group("Verbs");
    sub->callback([owner, action = verb.declare(sub)] { owner->chosen = action; });
  }
  return line;
}

ExitCode RunCommandLine(int argc, const char* const* argv) {
  const auto line = BuildCommandLine();
  try {
    line->root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const std::string unknown = error.get_exit_code() == 0 ? "" : UnknownVerb(*line, argc, argv);
    if (unknown.empty()) return ReportParseError(*line, error);
    Complain(unknown, "try: sonde --help");
    return ExitCode::kUsage;
  }
  return RunAction(line->chosen);
}

}  // namespace sonde::cli
