// SPDX-License-Identifier: Apache-2.0
// Who can be asked on this machine. Sockets of dead processes are removed on the way.
#include <unistd.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/proc.h"
#include "cli/render.h"
#include "cli/sockets.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct Listed {
  AgentSocket socket;
  Probe probe;
  bool local = false;  // the pid is one of ours, not of another pid namespace
};

bool IsLocal(const SocketName& name) {
  const auto stat = ReadStat(name.pid);
  return stat && stat->start_ticks == name.start_ticks;
}

// Only what nobody listens on and no process claims; a denied or live one is left alone.
bool PruneIfStale(const Listed& entry) {
  if (entry.probe.state != Probe::State::kStale || entry.local) return false;
  if (entry.socket.address.kind != Address::Kind::kUnixPath) return true;
  return unlink(entry.socket.address.where.c_str()) == 0;
}

nlohmann::json ToJson(const Listed& entry) {
  const SocketName& name = entry.socket.name;
  const char* state = entry.probe.state == Probe::State::kLive ? "live" : "denied";
  return {{"pid", name.pid},
          {"host", name.host},
          {"command", entry.local ? CommandLineOf(name.pid) : ""},
          {"socket", entry.socket.address.Short()},
          {"state", state}};
}

void Print(const std::vector<Listed>& entries, size_t pruned) {
  for (const Listed& entry : entries) {
    const SocketName& name = entry.socket.name;
    const bool denied = entry.probe.state == Probe::State::kDenied;
    const std::string command =
        entry.local ? CommandLineOf(name.pid) : "(in a container: " + name.host + ")";
    std::cout << PadLeft(std::to_string(name.pid), 7) << "  " << PadRight(Printable(command), 60)
              << "  " << entry.socket.address.Short() << (denied ? "  (another user's)" : "")
              << "\n";
  }
  if (entries.empty()) std::cout << "no agent can be reached on this machine through a socket\n";
  if (pruned > 0) std::cout << "removed " << pruned << " left by dead processes\n";
  if (entries.empty())
    std::cout << "next      sonde run -- COMMAND   |   sonde status 127.0.0.1:7663\n";
}

ExitCode List(bool json) {
  std::vector<Listed> entries;
  size_t pruned = 0;
  for (AgentSocket& socket : FindSockets(RunDirectories())) {
    const Probe probe = ProbeSocket(socket.address);
    Listed entry{std::move(socket), probe, false};
    entry.local = IsLocal(entry.socket.name);
    if (PruneIfStale(entry)) {
      ++pruned;
    } else if (probe.state != Probe::State::kStale) {
      entries.push_back(std::move(entry));
    }
  }
  if (!json) {
    Print(entries, pruned);
    return ExitCode::kClean;
  }
  nlohmann::json agents = nlohmann::json::array();
  for (const Listed& entry : entries) agents.push_back(ToJson(entry));
  std::cout << nlohmann::json{{"agents", agents}, {"removed", pruned}}.dump(2) << "\n";
  return ExitCode::kClean;
}

}  // namespace

Action DeclareList(CLI::App* verb) {
  const auto json = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "Answer in JSON");
  return [json] { return List(*json); };
}

}  // namespace sonde::cli
