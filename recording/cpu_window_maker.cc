// SPDX-License-Identifier: Apache-2.0
#include "recording/cpu_window_maker.h"

#include <algorithm>

#include "collectors/cpu_names.h"

namespace sonde {
namespace {

CpuSample SampleOf(const FoldSample& from) {
  CpuSample to;
  to.thread_name = from.thread.name;
  to.pid = from.thread.pid;
  to.tid = from.thread.tid;
  to.count = static_cast<int64_t>(from.events);
  to.cpu_ns = static_cast<int64_t>(from.amount);
  to.synthetic_leaf = LeafNameOf(from);
  if (to.synthetic_leaf.empty()) to.frames = from.frames;
  return to;
}

CpuSample SampleOf(const FoldLoss& loss, int pid) {
  CpuSample to;
  to.synthetic_leaf = LeafNameOf(loss);
  to.count = static_cast<int64_t>(loss.events);
  to.cpu_ns = static_cast<int64_t>(loss.amount);
  to.pid = pid;
  return to;
}

}  // namespace

int64_t CpuWindowMaker::UnixOf(uint64_t time_ns) const {
  return static_cast<int64_t>(time_ns + static_cast<uint64_t>(utc_offset_ns_));
}

// Each space once, however many pieces share it.
int CpuWindowMaker::SpaceOf(int pid, const FoldProfile& piece) {
  const auto [known, fresh] = by_piece_.try_emplace({pid, piece.from_ns}, -1);
  if (!fresh) return known->second;
  std::vector<Mapping> space = history_.At(pid, piece.from_ns, piece.to_ns);
  if (space.empty()) return -1;
  const auto same = std::ranges::find(window_.spaces, space);
  known->second = static_cast<int>(same - window_.spaces.begin());
  if (same == window_.spaces.end()) window_.spaces.push_back(std::move(space));
  return known->second;
}

void CpuWindowMaker::AddPiece(const FoldProfile& piece) {
  if (window_.from_unix_ns == 0) window_.from_unix_ns = UnixOf(piece.from_ns);
  window_.to_unix_ns = UnixOf(piece.to_ns);
  for (const FoldSample& sample : piece.samples) {
    if (sample.kind != Kind::kCpu) continue;
    CpuSample out = SampleOf(sample);
    out.space = SpaceOf(out.pid, piece);
    window_.samples.push_back(std::move(out));
  }
  for (const FoldLoss& loss : piece.losses) {
    if (loss.kind == Kind::kCpu) window_.samples.push_back(SampleOf(loss, owner_pid_));
  }
}

void CpuWindowMaker::AddGaps(const std::vector<Gap>& gaps) {
  for (const Gap& gap : gaps)
    window_.gaps.push_back({UnixOf(gap.from_ns), UnixOf(gap.to_ns), GapReasonText(gap.reason)});
}

CpuWindow WindowOf(const Past& past, const AddressHistory& history, int64_t utc_offset_ns,
                   int owner_pid) {
  CpuWindowMaker maker(history, utc_offset_ns, owner_pid);
  for (const FoldProfile& piece : past.pieces) maker.AddPiece(piece);
  maker.AddGaps(past.gaps);
  CpuWindow window = maker.Take();
  window.covered_ns = static_cast<int64_t>(past.covered_ns);
  window.rate_hz = static_cast<int>(past.rate_hz);
  window.begins_late = past.is_overwritten
                           ? "older steps gave way, the recording is full (SONDE_REGION_BYTES)"
                           : "the agent started then";
  return window;
}

}  // namespace sonde
