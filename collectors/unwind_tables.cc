// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables.h"

#include <algorithm>
#include <new>
#include <utility>

#include "collectors/unwind_tables_link_map.h"

namespace sonde {
namespace {

// In refreshes: a minute, when there is one each second.
constexpr unsigned kMaxPatience = 60;
constexpr size_t kChecksPerRefresh = 4;

constexpr char kNoMemoryFile[] =
    "neither /proc/self/mem nor a pipe can be opened: stacks are walked by frame pointers only";
constexpr char kNoMapsFile[] = "/proc/self/maps cannot be opened: stacks end at their first frame";

// UnwindIndex | lows | modules in one block.
bool MakeIndex(std::vector<UnwindModule> modules, TableMemory* memory) {
  std::sort(modules.begin(), modules.end(),
            [](const UnwindModule& a, const UnwindModule& b) { return a.low < b.low; });
  const size_t count = modules.size();
  const size_t lows_at = sizeof(UnwindIndex);
  const size_t modules_at = lows_at + count * sizeof(uintptr_t);
  if (!memory->Grow(modules_at + count * sizeof(UnwindModule))) return false;
  auto* const block = memory->As<uint8_t>();
  auto* const lows = reinterpret_cast<uintptr_t*>(block + lows_at);
  auto* const copy = reinterpret_cast<UnwindModule*>(block + modules_at);
  for (size_t i = 0; i < count; ++i) {
    lows[i] = modules[i].low;
    copy[i] = modules[i];
  }
  *memory->As<UnwindIndex>() = {static_cast<uint32_t>(count), lows, copy};
  return true;
}

}  // namespace

UnwindTables::~UnwindTables() { publication_.Publish(nullptr); }

bool UnwindTables::Refresh() {
  Reclaim();
  const bool unknown_pc = patience_ == 0 ? publication_.TakeUnknownPc() : (--patience_, false);
  // Before the scan: what changes while it runs shows as a change the next time.
  const uint64_t link_maps = ReadLinkMaps(memory_, nullptr);
  const bool same = complete_ && link_maps == link_maps_ && SomeObjectsAreTheSame();
  if (same && !unknown_pc) return false;
  link_maps_ = link_maps;
  const bool published = Scan();
  if (unknown_pc) NoteUnknownPcScan(published);
  pending_bytes_ = 0;
  Reclaim();
  return published;
}

// An object may have been replaced by one whose entry in the loader's list is the same. That is
// rare, and a read costs about 1.3 us: some objects each time.
bool UnwindTables::SomeObjectsAreTheSame() {
  const size_t count = std::min(entries_.size(), kChecksPerRefresh);
  for (size_t i = 0; i < count; ++i) {
    const LoadedObject& object = entries_[next_check_++ % entries_.size()]->object;
    if (FingerprintOf(memory_, object.image) != object.fingerprint) return false;
  }
  return true;
}

// Stacks that cannot be walked raise the flag for ever, and the map of a big process is long.
void UnwindTables::NoteUnknownPcScan(bool published) {
  if (published) next_patience_ = 1;
  patience_ = next_patience_ - 1;
  next_patience_ = published ? 1 : std::min(next_patience_ * 2, kMaxPatience);
}

bool UnwindTables::Scan() {
  ++scans_;
  complete_ = false;
  try {
    memory_.Open();
    std::vector<uint64_t> dynamics;
    CodeList code;
    ReadLinkMaps(memory_, &dynamics);
    std::sort(dynamics.begin(), dynamics.end());
    if (ListCode(memory_, dynamics, &code)) {
      const bool published = Update(std::move(code));
      complete_ = memory_.memory_is_open() && ReadLinkMaps(memory_, nullptr) == link_maps_;
      return published;
    }
  } catch (const std::bad_alloc&) {
  }
  ++failures_;
  return false;
}

bool UnwindTables::Update(CodeList code) {
  UnwindRowBuilder builder;
  TableMemory section_memory;
  Entries built;
  Plan plan;
  built.reserve(code.objects.size());
  plan.reserve(code.objects.size());
  for (LoadedObject& object : code.objects) {
    std::unique_ptr<Entry>* const old = FindReusable(object);
    plan.push_back(old);
    if (old != nullptr && (*old)->coverage != UnwindCoverage::kUnreadable) continue;
    auto entry = std::make_unique<Entry>();
    entry->object = std::move(object);
    Build(entry.get(), builder, section_memory);
    // It was being loaded the last time, or it cannot be read at all.
    if (old != nullptr && entry->coverage == UnwindCoverage::kUnreadable) continue;
    pending_bytes_ += entry->block.memory.size();
    built.push_back(std::move(entry));
    plan.back() = &built.back();
  }
  const bool same =
      built.empty() && plan.size() == entries_.size() && code.other_code == other_code_;
  return !same && Publish(plan, std::move(code.other_code));
}

std::unique_ptr<UnwindTables::Entry>* UnwindTables::FindReusable(const LoadedObject& object) {
  for (std::unique_ptr<Entry>& entry : entries_) {
    if (entry->object.identity != object.identity) continue;
    const bool fits_now = entry->coverage == UnwindCoverage::kOverBudget &&
                          BytesInUse() + pending_bytes_ + entry->needed_bytes <= budget_bytes_;
    return fits_now ? nullptr : &entry;
  }
  return nullptr;
}

void UnwindTables::Build(Entry* entry, UnwindRowBuilder& builder,
                         TableMemory& section_memory) const {
  const LoadedObject& object = entry->object;
  UnwindBlock& block = entry->block;
  const uint64_t text_size = object.text_high - object.text_low;
  EhFrameSection section;
  entry->coverage = UnwindCoverage::kNoUnwindData;
  if (object.eh_frame == 0 || text_size > UINT32_MAX) return;
  entry->coverage = UnwindCoverage::kUnreadable;
  if (!CopyEhFrame(memory_, object, &section_memory, &section)) return;
  if (!builder.Build(section, object.text_low, object.text_high, &block)) throw std::bad_alloc();
  entry->needed_bytes = block.memory.size();
  entry->coverage = UnwindCoverage::kCovered;
  if (block.counts.functions == 0) entry->coverage = UnwindCoverage::kNoUnwindData;
  if (BytesInUse() + pending_bytes_ + entry->needed_bytes > budget_bytes_) {
    entry->coverage = UnwindCoverage::kOverBudget;
  }
  if (entry->coverage != UnwindCoverage::kCovered) block = UnwindBlock();
}

// Everything that can fail comes before the swap; everything after it cannot.
bool UnwindTables::Publish(const Plan& plan, std::vector<CodeRange> other_code) {
  std::vector<UnwindModule> modules;
  modules.reserve(plan.size() + other_code.size());
  for (const std::unique_ptr<Entry>* place : plan) {
    UnwindModule module = (*place)->block.module;
    module.low = (*place)->object.text_low;
    module.high = (*place)->object.text_high;
    modules.push_back(module);
  }
  for (const CodeRange& range : other_code) modules.push_back({range.low, range.high});
  TableMemory index;
  if (!MakeIndex(std::move(modules), &index)) throw std::bad_alloc();
  Entries next;
  next.reserve(plan.size());
  retired_.reserve(retired_.size() + entries_.size() + 1);

  publication_.Publish(index.As<UnwindIndex>());
  for (std::unique_ptr<Entry>* place : plan) next.push_back(std::move(*place));
  for (const std::unique_ptr<Entry>& unloaded : entries_) {
    if (unloaded != nullptr) Retire(std::move(unloaded->block.memory));
  }
  entries_ = std::move(next);
  other_code_ = std::move(other_code);
  std::swap(index_, index);
  Retire(std::move(index));
  ++refreshes_;
  return true;
}

void UnwindTables::Retire(TableMemory memory) {
  if (memory.size() == 0) return;
  retired_.emplace_back();
  retired_.back().memory = std::move(memory);
}

// The rule is UnwindPublication's: both reader counts seen at zero since the swap.
void UnwindTables::Reclaim() {
  if (retired_.empty()) return;
  for (unsigned which : {0u, 1u}) {
    const bool idle = publication_.Idle(which);
    for (Retired& retired : retired_) retired.idle[which] |= idle;
  }
  std::erase_if(retired_,
                [](const Retired& retired) { return retired.idle[0] && retired.idle[1]; });
  // Until the next call the other count drains.
  steer_ ^= 1;
  publication_.Steer(steer_);
}

size_t UnwindTables::BytesInUse() const {
  size_t bytes = index_.size();
  for (const auto& entry : entries_) bytes += entry->block.memory.size();
  for (const auto& retired : retired_) bytes += retired.memory.size();
  return bytes;
}

UnwindStatus UnwindTables::Status() const {
  UnwindStatus status;
  status.modules.reserve(entries_.size());
  for (const auto& entry : entries_) {
    const LoadedObject& object = entry->object;
    status.modules.push_back({object.name, object.base, object.image, object.text_low,
                              object.text_high, entry->coverage, entry->block.memory.size(),
                              entry->block.counts});
    status.not_covered += entry->coverage != UnwindCoverage::kCovered ? 1 : 0;
  }
  status.other_code_ranges = other_code_.size();
  status.bytes = BytesInUse();
  for (const auto& retired : retired_) status.retired_bytes += retired.memory.size();
  status.budget_bytes = budget_bytes_;
  status.refreshes = refreshes_;
  status.failures = failures_;
  status.scans = scans_;
  if (!memory_.memory_is_open()) status.problem = kNoMemoryFile;
  if (!memory_.maps_is_open()) status.problem = kNoMapsFile;
  return status;
}

}  // namespace sonde
