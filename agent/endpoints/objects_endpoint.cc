// SPDX-License-Identifier: Apache-2.0
// /debug/sonde/objects/{build-id}: the bytes of a program or library that a process of the tree has
// mapped, so that `sonde` finds symbols and lines that the agent does not read. Only what is mapped
// and executable, only by build id, in pieces: one piece is in memory, one file is open.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "agent/endpoints/cpu_profile.h"
#include "agent/endpoints/endpoint_table.h"
#include "agent/http/query.h"
#include "profile/elf_file.h"
#include "profile/hex.h"

namespace sonde {
namespace {

constexpr int64_t kMaxPiece = 1 << 20;
constexpr uint64_t kMaxObject = uint64_t{1} << 30;
constexpr size_t kMaxProcesses = 64;

struct Piece {
  uint64_t offset = 0;
  size_t size = kMaxPiece;
  std::string error;
};

Piece ParsePiece(const http::Request& request) {
  Piece piece;
  const auto parameters = http::ParseParameters(request.query);
  if (const std::string* text = http::FindParameter(parameters, "offset")) {
    const auto value = http::ParseInteger(*text);
    if (!value || *value < 0) piece.error = "offset: expected an integer from 0\n";
    piece.offset = static_cast<uint64_t>(value.value_or(0));
  }
  if (const std::string* text = http::FindParameter(parameters, "size")) {
    const auto value = http::ParseInteger(*text);
    if (!value || *value < 1 || *value > kMaxPiece)
      piece.error += "size: expected an integer from 1 to " + std::to_string(kMaxPiece) + "\n";
    piece.size = static_cast<size_t>(value.value_or(1));
  }
  return piece;
}

// The file of that mapping with that build id: by its path, or the inode that is mapped where the
// kernel gives it out.
std::unique_ptr<ByteSource> OpenObject(const Mapping& mapping, const std::string& build_id,
                                       int pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  for (const std::string& path :
       {mapping.path, proc + "/root" + mapping.path,
        proc + "/map_files/" + Hex(mapping.start) + "-" + Hex(mapping.limit)}) {
    auto checked = OpenFile(path);
    if (!checked) continue;
    const auto elf = ElfFile::Open(std::move(*checked));
    if (!elf || (*elf)->build_id() != build_id) continue;
    auto source = OpenFile(path);
    if (source) return std::move(*source);
  }
  return nullptr;
}

std::unique_ptr<ByteSource> FindObject(const std::string& build_id, AgentSources* sources) {
  const AgentStatus status = sources->Status();
  std::vector<int> pids = {status.pid};
  for (const ProcessStatus& process : status.processes)
    if (process.pid != status.pid && pids.size() < kMaxProcesses) pids.push_back(process.pid);
  for (const int pid : pids) {
    for (const Mapping& mapping : MappingsOf(pid, status, sources)) {
      if (mapping.build_id != build_id || !mapping.IsFile()) continue;
      if (auto source = OpenObject(mapping, build_id, pid)) return source;
    }
  }
  return nullptr;
}

}  // namespace

http::Answer ServeObject(Context& context, const http::Request& request) {
  const std::string build_id = request.path.substr(request.path.rfind('/') + 1);
  const Piece piece = ParsePiece(request);
  if (!piece.error.empty()) return {http::Response::Text(400, piece.error), nullptr};
  Context::ServedObject& served = context.served_object;
  if (served.bytes == nullptr || served.build_id != build_id || piece.offset == 0)
    served = {build_id, FindObject(build_id, context.sources)};
  if (served.bytes == nullptr) {
    return {http::Response::Text(404, "no mapped object with this build id, or its file is gone\n"),
            nullptr};
  }
  const uint64_t total = served.bytes->size();
  if (total > kMaxObject) return {http::Response::Text(413, "larger than 1 GiB\n"), nullptr};
  http::Response response;
  response.content_type = "application/octet-stream";
  response.headers.emplace_back("X-Sonde-Object-Size", std::to_string(total));
  if (piece.offset < total)
    response.body.resize(std::min<uint64_t>(piece.size, total - piece.offset));
  const size_t got = served.bytes->ReadAt(piece.offset, response.body.data(), response.body.size());
  response.body.resize(got);
  if (piece.offset + got >= total) served = {};  // the last piece: the file is closed
  return {std::move(response), nullptr};
}

}  // namespace sonde
