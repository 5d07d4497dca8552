// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_view.h"

#include <algorithm>
#include <new>
#include <utility>

namespace sonde {

void UnwindView::Set(Entries entries, std::vector<CodeRange> other_code) {
  entries_ = std::move(entries);
  other_code_ = std::move(other_code);
  dirty_ = true;
}

// UnwindIndex | lows | modules in one piece.
bool UnwindView::MakeIndex(TableArena& arena, ArenaPiece* piece) const {
  std::vector<UnwindModule> ranges;
  for (const auto& entry : entries_) entry->AppendRanges(&ranges);
  for (const CodeRange& range : other_code_) ranges.push_back({{range.low, range.high}});
  std::sort(ranges.begin(), ranges.end(),
            [](const UnwindModule& a, const UnwindModule& b) { return a.low < b.low; });
  const size_t count = ranges.size();
  const size_t lows_at = sizeof(UnwindIndex);
  const size_t modules_at = lows_at + count * sizeof(uintptr_t);
  *piece = arena.Allocate(modules_at + count * sizeof(UnwindModule));
  if (piece->data == nullptr) return false;
  auto* const block = static_cast<uint8_t*>(piece->data);
  auto* const lows = reinterpret_cast<uintptr_t*>(block + lows_at);
  auto* const modules = reinterpret_cast<UnwindModule*>(block + modules_at);
  for (size_t i = 0; i < count; ++i) {
    lows[i] = ranges[i].low;
    new (&modules[i]) UnwindModule(ranges[i]);
  }
  new (block) UnwindIndex{static_cast<uint32_t>(count), lows, modules};
  return true;
}

ArenaPiece UnwindView::Publish(TableArena& arena) {
  ArenaPiece next;
  bool made = false;
  try {
    made = MakeIndex(arena, &next);
  } catch (const std::bad_alloc&) {
  }
  publication_.Publish(made ? static_cast<const UnwindIndex*>(next.data) : nullptr);
  dirty_ = !made;
  return std::exchange(index_, next);
}

ArenaPiece UnwindView::Unpublish() {
  publication_.Publish(nullptr);
  return std::exchange(index_, ArenaPiece());
}

UnwindEntry* UnwindView::Find(uint64_t pc) const {
  const auto after = std::upper_bound(
      entries_.begin(), entries_.end(), pc,
      [](uint64_t at, const auto& entry) { return at < entry->object().text_low; });
  if (after == entries_.begin()) return nullptr;
  UnwindEntry* const entry = (after - 1)->get();
  return pc < entry->object().text_high ? entry : nullptr;
}

bool UnwindView::Has(const UnwindEntry* entry) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const auto& mine) { return mine.get() == entry; });
}

void UnwindView::CollectUse(uint64_t now) {
  if (index_.data == nullptr) return;
  const auto& index = *static_cast<const UnwindIndex*>(index_.data);
  for (uint32_t i = 0; i < index.count; ++i) {
    const UnwindModule& range = index.modules[i];
    if (!range.TakeUsed()) continue;
    UnwindEntry* const entry = Find(range.low);
    if (entry == nullptr || entry->coverage() != UnwindCoverage::kOnDemand) continue;
    const auto chunk = entry->chunks().find(range.low >> kUnwindChunkShift);
    if (chunk != entry->chunks().end()) chunk->second.last_used = now;
  }
}

}  // namespace sonde
