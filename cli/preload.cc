// SPDX-License-Identifier: Apache-2.0
#include "cli/preload.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <vector>

#include "cli/child.h"
#include "cli/outcome.h"
#include "cli/program.h"

namespace sonde::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array kBesideUs = {"../lib", "../lib/x86_64-linux-gnu", "../lib64", "../agent", "."};
constexpr std::array kAgents = {kAgentName, kTcmallocAgentName};
constexpr std::array kMustBeFirst = {"libasan", "libtsan", "liblsan", "libubsan", "libclang_rt."};

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

std::vector<std::string> SplitPreload(std::string_view list) {
  std::vector<std::string> entries;
  while (!list.empty()) {
    const size_t end = std::min(list.find_first_of(": "), list.size());
    if (end > 0) entries.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return entries;
}

bool MustBeFirst(const std::string& entry) {
  const std::string name = fs::path(entry).filename();
  return std::any_of(kMustBeFirst.begin(), kMustBeFirst.end(),
                     [&](const char* prefix) { return name.starts_with(prefix); });
}

// `#!/usr/bin/env python3` starts what PATH says; other interpreters are named in full.
void CheckInterpreter(const std::string& script, const std::string& interpreter) {
  const ProgramCheck check = CheckProgram(interpreter);
  if (check.verdict == ProgramCheck::Verdict::kUnreadable)
    throw Failure(script + " is a script for " + interpreter + ", which cannot be read");
  const std::string problem = ExplainProgram(check, interpreter);
  if (!problem.empty()) throw Failure(script + " is a script: " + problem);
}

}  // namespace

std::string FindAgentLibrary(const std::string& given, std::string_view name) {
  std::string found;
  std::error_code error;
  if (!given.empty()) {
    if (!IsFile(given)) throw Failure("there is no agent library at " + given);
    found = fs::absolute(given).lexically_normal();
  }
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* folder : kBesideUs) {
    if (!found.empty()) break;
    const fs::path library = here / folder / name;
    if (IsFile(library)) found = library.lexically_normal();
  }
  if (found.empty())
    throw Failure(
        "no " + std::string(name) + " beside " + here.string() + ": expected it in ../lib",
        "give its path: --agent FILE");
  if (found.find_first_of(" :") != std::string::npos)
    throw Failure(found + ": LD_PRELOAD cannot name a path with a blank or a colon",
                  "copy it elsewhere and give --agent FILE");
  return found;
}

std::string FindPreloadableProgram(const std::string& command) {
  const auto program = FindInPath(command);
  if (!program) throw Failure("there is no command '" + command + "' to start");
  const ProgramCheck check = CheckProgram(*program);
  const std::string problem = ExplainProgram(check, *program);
  if (!problem.empty()) throw Failure(problem);
  if (check.verdict == ProgramCheck::Verdict::kScript)
    CheckInterpreter(*program, check.interpreter);
  return *program;
}

std::string JoinPreload(const std::string& agent, std::string_view existing) {
  std::vector<std::string> entries = SplitPreload(existing);
  // One agent is enough: an older one that the environment brings is replaced.
  std::erase_if(entries, [](const std::string& entry) {
    return std::ranges::find(kAgents, fs::path(entry).filename()) != kAgents.end();
  });
  const auto place = std::find_if_not(entries.begin(), entries.end(), MustBeFirst);
  entries.insert(place, agent);
  std::string joined;
  for (const std::string& entry : entries) joined += (joined.empty() ? "" : ":") + entry;
  return joined;
}

std::pair<std::string, std::string> SplitAssignment(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError("'" + text + "' sets nothing: expected name=value, as in cpu_hz=200");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string EnvironmentName(std::string_view setting) {
  std::string name(setting);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(toupper(c)); });
  return name.starts_with("SONDE_") ? name : "SONDE_" + name;
}

}  // namespace sonde::cli
