// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables.h"

#include <algorithm>
#include <new>
#include <utility>

namespace sonde {
namespace {

std::vector<CodeRange> SortedRanges(const std::vector<LoadedObject>& objects) {
  std::vector<CodeRange> ranges;
  ranges.reserve(objects.size());
  for (const LoadedObject& object : objects) {
    ranges.push_back({object.text_low, object.text_high});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.low < b.low; });
  return ranges;
}

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
  const bool unknown_pc = publication_.TakeUnknownPc();
  const LoadGeneration generation = CurrentLoadGeneration();
  if (complete_ && !unknown_pc && generation == generation_) return false;
  bool published = false;
  try {
    published = Update();
    complete_ = true;
    generation_ = generation;
  } catch (const std::bad_alloc&) {
    ++failures_;
  }
  pending_bytes_ = 0;
  Reclaim();
  return published;
}

bool UnwindTables::Update() {
  std::vector<LoadedObject> objects;
  if (!ListObjects(&objects)) throw std::bad_alloc();
  UnwindRowBuilder builder;
  TableMemory section_memory;
  Entries built;
  Plan plan;
  built.reserve(objects.size());
  plan.reserve(objects.size());
  for (LoadedObject& object : objects) {
    std::unique_ptr<Entry>* place = FindReusable(object);
    if (place == nullptr) {
      built.push_back(std::make_unique<Entry>());
      place = &built.back();
      (*place)->object = object;
      Build(place->get(), builder, section_memory);
      pending_bytes_ += (*place)->block.memory.size();
    }
    plan.push_back(place);
  }
  std::vector<CodeRange> other_code = ListOtherCode(SortedRanges(objects));
  const bool same = built.empty() && plan.size() == entries_.size() && other_code == other_code_;
  return !same && Publish(plan, std::move(other_code));
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
  if (!CopyEhFrame(object, &section_memory, &section)) return;
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
    status.modules.push_back({object.name, object.base, object.text_low, object.text_high,
                              entry->coverage, entry->block.memory.size(), entry->block.counts});
    status.not_covered += entry->coverage != UnwindCoverage::kCovered ? 1 : 0;
  }
  status.other_code_ranges = other_code_.size();
  status.bytes = BytesInUse();
  for (const auto& retired : retired_) status.retired_bytes += retired.memory.size();
  status.budget_bytes = budget_bytes_;
  status.refreshes = refreshes_;
  status.failures = failures_;
  return status;
}

}  // namespace sonde
