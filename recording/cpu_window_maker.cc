// SPDX-License-Identifier: Apache-2.0
#include "recording/cpu_window_maker.h"

#include <algorithm>

#include "collectors/cpu_names.h"
#include "collectors/safe/cpu_handler.h"

namespace sonde {

int64_t CpuWindowMaker::UnixOf(uint64_t time_ns) const {
  return static_cast<int64_t>(time_ns + static_cast<uint64_t>(utc_offset_ns_));
}

std::vector<Mapping> CpuWindowMaker::MappingsAt(int pid, const Interval& time) const {
  std::vector<Mapping> space = history_.At(pid, time.from_ns, time.to_ns);
  const PerfMapHistory* const perf_map = history_.PerfMapOf(pid);
  if (!time.is_recorded || perf_map == nullptr) return space;
  for (Mapping& mapping : space) {
    if (mapping.IsGenerated()) mapping.perf_map = perf_map->Between(time.from_ns, time.to_ns);
  }
  return space;
}

// Each space once, however many pieces share it.
int CpuWindowMaker::SpaceOf(int pid, const Interval& time) {
  const auto [known, fresh] = by_piece_.try_emplace({pid, time.from_ns}, -1);
  if (!fresh) return known->second;
  std::vector<Mapping> space = MappingsAt(pid, time);
  if (space.empty()) return -1;
  const auto same = std::ranges::find(window_.spaces, space);
  known->second = static_cast<int>(same - window_.spaces.begin());
  if (same == window_.spaces.end()) window_.spaces.push_back(std::move(space));
  return known->second;
}

void CpuWindowMaker::BeginPiece(const Interval& time) {
  if (window_.from_unix_ns == 0) window_.from_unix_ns = UnixOf(time.from_ns);
  window_.to_unix_ns = UnixOf(time.to_ns);
}

bool CpuWindowMaker::IsGenerated(int space, uint64_t address) const {
  if (space < 0) return false;
  const std::vector<Mapping>& mappings = window_.spaces[static_cast<size_t>(space)];
  const auto at = std::ranges::find_if(
      mappings, [address](const Mapping& mapping) { return mapping.Contains(address); });
  return at != mappings.end() && at->IsGenerated();
}

void CpuWindowMaker::AddSample(const Stack& stack, const FoldThread& thread, uint64_t events,
                               uint64_t amount, const Interval& time) {
  CpuSample sample;
  sample.thread_name = thread.name;
  sample.pid = thread.pid;
  sample.tid = thread.tid;
  sample.count = static_cast<int64_t>(events);
  sample.cpu_ns = static_cast<int64_t>(amount);
  sample.synthetic_leaf = LeafNameOf(stack.frames[0]);
  sample.space = SpaceOf(thread.pid, time);
  if (sample.synthetic_leaf.empty()) {
    sample.frames.assign(stack.frames.begin(), stack.frames.end());
    const StackEnd end = StackEndOf(stack.flags);
    // The last frame is a return address, unless it is the only one.
    const uint64_t last = stack.frames.back() - (stack.frames.size() > 1 ? 1 : 0);
    const char* root = RootNameOf(end, end != StackEnd::kRoot && IsGenerated(sample.space, last));
    if (root != nullptr) sample.synthetic_root = root;
  }
  window_.samples.push_back(std::move(sample));
}

void CpuWindowMaker::AddLoss(const FoldLoss& loss) {
  if (loss.kind != Kind::kCpu) return;
  CpuSample sample;
  sample.synthetic_leaf = LeafNameOf(loss);
  sample.count = static_cast<int64_t>(loss.events);
  sample.cpu_ns = static_cast<int64_t>(loss.amount);
  sample.pid = owner_pid_;
  window_.samples.push_back(std::move(sample));
}

void CpuWindowMaker::AddPiece(const FoldProfile& piece) {
  const Interval time{piece.from_ns, piece.to_ns, true};
  BeginPiece(time);
  for (const FoldSample& sample : piece.samples) {
    if (sample.kind == Kind::kCpu)
      AddSample({sample.frames, sample.flags}, sample.thread, sample.events, sample.amount, time);
  }
  for (const FoldLoss& loss : piece.losses) AddLoss(loss);
}

void CpuWindowMaker::AddPiece(const Capture::Piece& piece) {
  const Interval time{piece.from_ns, piece.to_ns, false};
  BeginPiece(time);
  const std::vector<FoldCounts::Entry> entries = piece.counts.Entries();
  window_.samples.reserve(window_.samples.size() + entries.size());
  for (const FoldCounts::Entry& entry : entries) {
    if (entry.kind == Kind::kCpu)
      AddSample({entry.frames, entry.flags}, piece.counts.threads()[entry.thread], entry.events,
                entry.amount, time);
  }
  for (const FoldLoss& loss : piece.counts.Losses()) AddLoss(loss);
}

void CpuWindowMaker::AddGaps(const std::vector<Gap>& gaps) {
  for (const Gap& gap : gaps)
    window_.gaps.push_back({UnixOf(gap.from_ns), UnixOf(gap.to_ns), GapReasonText(gap.reason)});
}

void CpuWindowMaker::AddNewNames(uint64_t from_ns) {
  for (const auto& [pid, when_ns] : history_.PerfMapsWrittenAnew(from_ns))
    window_.new_names.push_back({pid, UnixOf(when_ns)});
}

namespace {

const char* WhyItBegins(const Past& past) {
  return past.is_overwritten ? "older steps gave way, the recording is full (SONDE_REGION_BYTES)"
                             : "the agent started then";
}

}  // namespace

CpuWindow TimesOf(const Past& past, int64_t utc_offset_ns) {
  CpuWindow window;
  window.begins_late = WhyItBegins(past);
  if (past.pieces.empty()) return window;
  const auto unix_of = [utc_offset_ns](uint64_t ns) {
    return static_cast<int64_t>(ns + static_cast<uint64_t>(utc_offset_ns));
  };
  window.from_unix_ns = unix_of(past.pieces.front().from_ns);
  window.to_unix_ns = unix_of(past.pieces.back().to_ns);
  window.covered_ns = window.to_unix_ns - window.from_unix_ns;
  for (const Gap& gap : past.gaps) {
    if (gap.reason != GapReason::kAgentAway) continue;
    window.gaps.push_back({unix_of(gap.from_ns), unix_of(gap.to_ns), GapReasonText(gap.reason)});
    window.covered_ns -= static_cast<int64_t>(gap.to_ns - gap.from_ns);
  }
  return window;
}

CpuWindow WindowOf(const Past& past, const AddressHistory& history, int64_t utc_offset_ns,
                   int owner_pid) {
  CpuWindowMaker maker(history, utc_offset_ns, owner_pid);
  for (const FoldProfile& piece : past.pieces) maker.AddPiece(piece);
  maker.AddGaps(past.gaps);
  if (!past.pieces.empty()) maker.AddNewNames(past.pieces.front().from_ns);
  CpuWindow window = maker.Take();
  window.covered_ns = static_cast<int64_t>(past.covered_ns);
  window.rate_hz = static_cast<int>(past.rate_hz);
  window.begins_late = WhyItBegins(past);
  return window;
}

}  // namespace sonde
