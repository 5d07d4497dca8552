// SPDX-License-Identifier: Apache-2.0
#include "cli/proc.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace sonde::cli {
namespace {

std::string ProcPath(int pid, const char* file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

std::vector<std::string> SplitAtNul(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, '\0');) parts.push_back(part);
  return parts;
}

}  // namespace

std::optional<std::string> ReadSmallFile(const std::string& path, size_t max_bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text;
  char block[4096];
  while (text.size() < max_bytes && (file.read(block, sizeof block), file.gcount() > 0))
    text.append(block, static_cast<size_t>(file.gcount()));
  if (file.bad()) return std::nullopt;
  text.resize(std::min(text.size(), max_bytes));
  return text;
}

std::optional<ProcessStat> ParseStat(const std::string& text) {
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  ProcessStat stat;
  stat.name = text.substr(open + 1, close - open - 1);
  std::istringstream rest(text.substr(close + 1));
  std::string state;
  rest >> state >> stat.parent;  // fields 3 and 4
  std::string skip;
  for (int field = 5; field <= 13; ++field) rest >> skip;
  uint64_t user = 0;
  uint64_t system = 0;
  rest >> user >> system;  // 14 and 15
  for (int field = 16; field <= 21; ++field) rest >> skip;
  rest >> stat.start_ticks;  // 22
  if (!rest) return std::nullopt;
  stat.cpu_ticks = user + system;
  return stat;
}

std::optional<ProcessStat> ReadStat(int pid) {
  const auto text = ReadSmallFile(ProcPath(pid, "stat"));
  return text ? ParseStat(*text) : std::nullopt;
}

std::optional<std::string> EnvironmentOf(int pid, const std::string& name) {
  const auto text = ReadSmallFile(ProcPath(pid, "environ"));
  if (!text) return std::nullopt;
  for (const std::string& entry : SplitAtNul(*text))
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  return std::nullopt;
}

std::optional<uint32_t> UserOf(int pid) {
  struct stat info = {};
  if (stat(ProcPath(pid, "").c_str(), &info) != 0) return std::nullopt;
  return info.st_uid;
}

int InnermostPid(int pid) {
  std::istringstream lines(ReadSmallFile(ProcPath(pid, "status")).value_or(""));
  int inner = pid;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("NSpid:")) continue;
    std::istringstream numbers(line.substr(6));
    for (int number; numbers >> number;) inner = number;
  }
  return inner;
}

std::string CommandLineOf(int pid, size_t max_length) {
  std::string line;
  for (const std::string& part : SplitAtNul(ReadSmallFile(ProcPath(pid, "cmdline")).value_or("")))
    line += (line.empty() ? "" : " ") + part;
  if (line.empty()) {
    const auto stat = ReadStat(pid);
    line = stat ? stat->name : "";
  }
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 0x20; }, ' ');
  if (line.size() > max_length) line = line.substr(0, max_length - 1) + "…";
  return line;
}

}  // namespace sonde::cli
