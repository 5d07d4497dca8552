// SPDX-License-Identifier: Apache-2.0
// What `run` must know before it becomes the command: which library, before or after what else is
// preloaded, and whether the command can be preloaded at all. No state; reads the file system.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace sonde::cli {

inline constexpr std::string_view kAgentName = "libsonde.so";
inline constexpr std::string_view kTcmallocAgentName = "libsonde-tcmalloc.so";

// The file given, else the one of that name beside this binary: installed (../lib) or in the build
// tree (../agent).
std::string FindAgentLibrary(const std::string& given, std::string_view name = kAgentName);

// The path that will be executed. Throws for a command that does not exist or ignores LD_PRELOAD,
// and says what to do instead. Of a script, its interpreter is checked.
std::string FindPreloadableProgram(const std::string& command);

// LD_PRELOAD with the agent in it. What is there is kept. The agent goes first: behind another
// allocator it would see no allocation. But behind sanitizer runtimes, which refuse to start unless
// they are first.
std::string JoinPreload(const std::string& agent, std::string_view existing);

// "cpu_hz=200" -> {"cpu_hz", "200"}; throws a usage error when there is no '=' or no name.
std::pair<std::string, std::string> SplitAssignment(const std::string& text);

// "cpu_hz" or "SONDE_CPU_HZ" -> "SONDE_CPU_HZ".
std::string EnvironmentName(std::string_view setting);

}  // namespace sonde::cli
