// SPDX-License-Identifier: Apache-2.0
#include "cli/capture.h"

#include <filesystem>

#include "cli/progress.h"
#include "profile/time_text.h"

namespace sonde::cli {
std::string ProcessOf(const nlohmann::json& status) {
  if (!status.is_object()) return "";
  const int pid = status.value("pid", 0);
  // Its command rather than its file: redis-server is a link to redis-check-rdb.
  std::string program;
  for (const auto& process : status.value("processes", nlohmann::json::array()))
    if (process.value("pid", 0) == pid) program = process.value("command", "");
  if (program.empty()) program = std::filesystem::path(status.value("executable", "")).filename();
  return "pid " + std::to_string(pid) + (program.empty() ? "" : " " + program);
}

namespace {

std::string PastQuery(const PastQuestion& past) {
  if (past.last) return "?last=" + std::to_string(past.last->count()) + "ms";
  std::string query = "?from=" + FormatTime(past.from_ns.value_or(0));
  if (past.to_ns) query += "&to=" + FormatTime(*past.to_ns);
  return query;
}

}  // namespace

Captured CaptureCpu(Connection* connection, const CaptureOptions& options) {
  Captured captured;
  captured.agent = "plain Go pprof endpoint";
  captured.only_pid = connection->only_pid();
  if (connection->is_agent()) {
    const nlohmann::json& status = connection->status();
    captured.process = ProcessOf(status);
    captured.agent = "agent " + status.value("version", "?");
    captured.cpu_is_off = status.value("/cpu/effective_rate_hz"_json_pointer, 1) == 0;
  } else if (options.past.asked()) {
    throw UsageError(connection->description() +
                     " is a plain Go pprof endpoint: it keeps no recording, so --last, --from and "
                     "--to cannot be given");
  } else if (options.hz) {
    throw UsageError(connection->description() +
                     " is a plain Go pprof endpoint: its rate is fixed, "
                     "so --hz cannot be given");
  }
  if (options.past.asked()) {
    captured.profile = connection->Get("/debug/pprof/profile" + PastQuery(options.past));
    return captured;
  }
  std::string path = "/debug/pprof/profile?seconds=" + std::to_string(options.seconds);
  if (options.hz) path += "&hz=" + std::to_string(*options.hz);
  const std::chrono::seconds length(options.seconds);
  Progress progress("CPU of " + connection->description(), length);
  captured.profile = connection->Capture(path, length, [&progress] { progress.Tick(); });
  return captured;
}

ObjectPlaces PlacesOf(const Target& target, Connection* connection) {
  ObjectPlaces places;
  if (target.kind == Target::Kind::kPid)
    places.root = "/proc/" + std::to_string(target.pid) + "/root";
  if (!connection->is_agent()) return places;
  places.fetch = [connection](const std::string& build_id, uint64_t offset, size_t size) {
    return connection->Get("/debug/sonde/objects/" + build_id +
                           "?offset=" + std::to_string(offset) + "&size=" + std::to_string(size));
  };
  return places;
}

}  // namespace sonde::cli
