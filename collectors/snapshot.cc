// SPDX-License-Identifier: Apache-2.0
#include "collectors/snapshot.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#include "collectors/safe/cell_table.h"
#include "collectors/safe/region.h"
#include "collectors/safe/region_mappings.h"
#include "collectors/safe/thread_table.h"

namespace sonde {
namespace {

void Lose(FoldProfile* profile, const CellReading& cell, DropReason reason) {
  profile->losses.push_back({cell.key.kind, reason, cell.events(), cell.amount});
}

// The thread of a cell; false: it is not in its slot any more.
bool ReadCellThread(const Region& region, const CellKey& key, FoldThread* thread) {
  const ThreadInfo info = ReadThread(region, key.thread_slot);
  const bool same = (info.generation & kThreadGenerationMask) == key.thread_generation;
  if (!same || info.state == SlotState::kFree) return false;
  thread->tid = info.tid;
  thread->slot = key.thread_slot;
  thread->generation = info.generation;
  std::ranges::copy(info.name, thread->name);
  if (info.process_slot < region.counts.processes) {
    thread->pid = ReadProcess(region, info.process_slot).pid;
  }
  return true;
}

void AppendCell(const Region& region, uint32_t index, FoldProfile* profile) {
  const CellReading cell = ReadCell(region, index);
  if (cell.state != CellReading::State::kCounting || cell.events() == 0) return;
  uint64_t frames[kMaxDepth];
  FoldSample sample;
  const uint32_t depth = ReadStack(region, cell.key.stack, frames, &sample.flags);
  if (depth == 0) return Lose(profile, cell, DropReason::kStaleStack);
  if (!ReadCellThread(region, cell.key, &sample.thread)) {
    return Lose(profile, cell, DropReason::kStaleThread);
  }
  sample.frames.assign(frames, frames + depth);
  sample.kind = cell.key.kind;
  sample.events = cell.events();
  sample.amount = cell.amount;
  profile->samples.push_back(std::move(sample));
}

void AppendDrops(const Region& region, FoldProfile* profile) {
  for (uint32_t i = 0; i < kKindLimit * kDropReasonLimit; ++i) {
    const uint64_t events = region.drops[i].events.Load();
    if (events == 0) continue;
    profile->losses.push_back({static_cast<Kind>(i / kDropReasonLimit),
                               static_cast<DropReason>(i % kDropReasonLimit), events,
                               region.drops[i].amount.Load()});
  }
}

std::string ReadMappings(const Region& region) {
  std::string text(region.counts.mappings_bytes, '\0');
  text.resize(LoadMappings(region, text.data(), region.counts.mappings_bytes));
  return text;
}

// Text of a header, which may lack its end.
template <size_t kBytes>
std::string TextOf(const char (&text)[kBytes]) {
  return {text, strnlen(text, kBytes)};
}

}  // namespace

RegionImage::~RegionImage() { ::operator delete (bytes_, std::align_val_t{kSectionAlignment}); }

bool RegionImage::Load(const void* bytes, size_t size, std::string* error) {
  // A copy, with the alignment that the tables need.
  ::operator delete (bytes_, std::align_val_t{kSectionAlignment});
  bytes_ = ::operator new (std::max<size_t>(size, 1), std::align_val_t{kSectionAlignment});
  if (size != 0) memcpy(bytes_, bytes, size);
  RegionError text;
  if (OpenRegion(bytes_, size, &region_, &text)) return true;
  *error = text.c_str();
  return false;
}

bool LooksLikeRegion(const void* bytes, size_t size) {
  return size >= sizeof kRegionMagic && memcmp(bytes, &kRegionMagic, sizeof kRegionMagic) == 0;
}

Snapshot ReadSnapshot(const Region& region) {
  const RegionHeader& header = *region.header;
  Snapshot snapshot;
  snapshot.host_pid = header.host_pid;
  snapshot.host_start_ticks = header.host_start_ticks;
  snapshot.boot_id = TextOf(header.boot_id);
  snapshot.host_name = TextOf(header.host_name);
  snapshot.utc_offset_ns = static_cast<int64_t>(header.utc_offset_ns.Load());
  snapshot.mappings = ReadMappings(region);
  snapshot.profile.from_ns = header.created_monotonic_ns;
  for (uint32_t i = 0; i < region.counts.cells; ++i) AppendCell(region, i, &snapshot.profile);
  AppendDrops(region, &snapshot.profile);
  return snapshot;
}

}  // namespace sonde
