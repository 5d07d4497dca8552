// SPDX-License-Identifier: Apache-2.0
#include "cli/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

#include "cli/proc.h"

namespace sonde::cli {
namespace {

constexpr std::string_view kSuffix = ".sock";
constexpr std::string_view kAbstractPrefix = "@sonde/";

// Takes "-123" off the end of *text.
template <typename Number>
bool TakeNumber(std::string_view* text, Number* number) {
  const size_t dash = text->rfind('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view digits = text->substr(dash + 1);
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), *number);
  if (error != std::errc() || end != digits.end() || digits.empty()) return false;
  *text = text->substr(0, dash);
  return true;
}

void Add(std::vector<std::string>* list, std::optional<std::string> value,
         const std::string& tail = "") {
  if (!value || value->empty()) return;
  const std::string path = *value + tail;
  if (std::find(list->begin(), list->end(), path) == list->end()) list->push_back(path);
}

std::optional<std::string> Environment(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

void AddDirectoriesOf(uint32_t uid, std::vector<std::string>* list) {
  Add(list, "/run/user/" + std::to_string(uid) + "/sonde");
  Add(list, "/tmp/sonde-" + std::to_string(uid));
}

// Somebody else's directory in /tmp could hold a socket that impersonates an agent.
bool IsTrustworthy(const std::string& directory) {
  struct stat info = {};
  if (lstat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return false;
  if (!directory.starts_with("/tmp/sonde-")) return true;
  return info.st_uid == 0 || directory == "/tmp/sonde-" + std::to_string(info.st_uid);
}

void FindInDirectory(const std::string& directory, std::vector<AgentSocket>* found) {
  if (!IsTrustworthy(directory)) return;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string file = entry.path().filename();
    if (!file.ends_with(kSuffix)) continue;
    auto name = ParseSocketName(std::string_view(file).substr(0, file.size() - kSuffix.size()));
    std::error_code ignored;
    if (name && entry.is_socket(ignored))
      found->push_back({*name, {Address::Kind::kUnixPath, entry.path()}});
  }
}

socklen_t FillSocketAddress(const Address& address, sockaddr_un* out) {
  const bool abstract = address.kind == Address::Kind::kAbstract;
  const size_t length = address.where.size();
  if (length + 1 >= sizeof out->sun_path) return 0;
  out->sun_family = AF_UNIX;
  memcpy(out->sun_path + (abstract ? 1 : 0), address.where.data(), length);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + 1);
}

}  // namespace

std::optional<SocketName> ParseSocketName(std::string_view name) {
  SocketName parsed;
  if (!TakeNumber(&name, &parsed.start_ticks) || !TakeNumber(&name, &parsed.pid))
    return std::nullopt;
  if (parsed.pid <= 0 || name.empty()) return std::nullopt;
  parsed.host = name;
  return parsed;
}

std::vector<std::string> RunDirectories(std::optional<int> pid) {
  std::vector<std::string> list;
  Add(&list, Environment("SONDE_RUN_DIR"));
  if (pid) Add(&list, EnvironmentOf(*pid, "SONDE_RUN_DIR"));
  Add(&list, "/run/sonde");
  Add(&list, Environment("XDG_RUNTIME_DIR"), "/sonde");
  if (pid) Add(&list, EnvironmentOf(*pid, "XDG_RUNTIME_DIR"), "/sonde");
  AddDirectoriesOf(geteuid(), &list);
  const auto uid = pid ? UserOf(*pid) : std::nullopt;
  if (uid) AddDirectoriesOf(*uid, &list);
  if (!pid) return list;
  const std::string root = "/proc/" + std::to_string(*pid) + "/root";
  const std::vector<std::string> outside = list;
  for (const std::string& directory : outside) Add(&list, root + directory);
  return list;
}

std::vector<AgentSocket> ParseUnixTable(std::string_view text) {
  std::vector<AgentSocket> found;
  std::set<std::string_view> seen;  // a listening socket and its accepted connections share a name
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t at = line.find(kAbstractPrefix);
    if (at == std::string_view::npos) continue;
    const std::string_view path = line.substr(at + 1);
    const auto name = ParseSocketName(line.substr(at + kAbstractPrefix.size()));
    if (name && seen.insert(path).second)
      found.push_back({*name, {Address::Kind::kAbstract, std::string(path)}});
  }
  return found;
}

std::vector<AgentSocket> FindSockets(const std::vector<std::string>& directories,
                                     std::optional<int> pid) {
  std::vector<AgentSocket> found;
  for (const std::string& directory : directories) FindInDirectory(directory, &found);
  const std::string process = pid ? std::to_string(*pid) : "self";
  const auto table = ReadSmallFile("/proc/" + process + "/net/unix", size_t{16} << 20);
  for (AgentSocket& socket : ParseUnixTable(table.value_or(""))) found.push_back(std::move(socket));
  return found;
}

Probe ProbeSocket(const Address& address) {
  sockaddr_un name = {};
  const socklen_t length = FillSocketAddress(address, &name);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || length == 0) {
    if (fd >= 0) close(fd);
    return {Probe::State::kDenied};
  }
  Probe probe;
  ucred peer = {};
  socklen_t peer_size = sizeof peer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&name), length) == 0 || errno == EAGAIN) {
    probe.state = Probe::State::kLive;  // EAGAIN: its backlog is full, so somebody listens
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0) probe.uid = peer.uid;
  } else if (errno != ECONNREFUSED && errno != ENOENT) {
    probe.state = Probe::State::kDenied;
  }
  close(fd);
  return probe;
}

}  // namespace sonde::cli
