// SPDX-License-Identifier: Apache-2.0
#include "profile/symbol_index.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

namespace sonde {
namespace {

constexpr size_t kBuckets = 4096;
constexpr size_t kSymbolsPerRead = 1024;  // 24 KiB
constexpr size_t kMaxAliases = 32;
// How many symbols to look back over for one that holds the address: local symbols inside a big
// function lie between it and us.
constexpr size_t kMaxLookBack = 64;

// Symbols from .symtab carry their version: "memcpy@@GLIBC_2.14".
std::string StripVersion(std::string name) {
  const size_t at = name.find('@');
  if (at != std::string::npos && at > 0) name.resize(at);
  return name;
}

auto Rank(bool local, const std::string& name) {
  const size_t underscores = std::min(name.find_first_not_of('_'), name.size());
  return std::make_tuple(name.empty(), local, underscores, name.size(), std::string_view(name));
}

}  // namespace

SymbolIndex::SymbolIndex(const ElfFile& elf, size_t max_entries)
    : elf_(elf), table_(elf.BestSymbolTable()), max_entries_(std::max<size_t>(max_entries, 64)) {
  uint64_t begin = UINT64_MAX;
  uint64_t end = 0;
  for (const ElfSection& s : elf.sections()) {
    if (s.kind != ElfSection::Kind::kCode && s.kind != ElfSection::Kind::kPlt) continue;
    if (s.address == 0 || s.address + s.size < s.address) continue;
    begin = std::min(begin, s.address);
    end = std::max(end, s.address + s.size);
  }
  // Without section headers the segments tell code from data. No section then holds a symbol
  // without size, so that such symbols name nothing: who knows what lies behind them.
  const bool has_sections = end != 0;
  for (const ElfSegment& s : elf.segments()) {
    if (has_sections || !s.executable || s.address + s.memory_size < s.address) continue;
    begin = std::min(begin, s.address);
    end = std::max(end, s.address + s.memory_size);
  }
  if (begin >= end) table_ = nullptr;
  base_ = begin;
  span_ = std::min<uint64_t>(end - begin, UINT32_MAX);
}

size_t SymbolIndex::memory_bytes() const {
  return entries_.capacity() * sizeof(Entry) + histogram_.capacity() * sizeof(uint32_t);
}

std::optional<SymbolIndex::Entry> SymbolIndex::ToEntry(const Elf64_Sym& symbol,
                                                       uint32_t ordinal) const {
  const unsigned type = ELF64_ST_TYPE(symbol.st_info);
  if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) return std::nullopt;
  if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS || symbol.st_name == 0) {
    return std::nullopt;
  }
  if (symbol.st_value < base_ || symbol.st_value - base_ >= span_) return std::nullopt;
  // Hand-written assembly has no type; then only its place tells code from data.
  if (type == STT_NOTYPE && elf_.CodeSectionAt(symbol.st_value) == nullptr) return std::nullopt;
  return Entry{static_cast<uint32_t>(symbol.st_value - base_),
               static_cast<uint32_t>(std::min<uint64_t>(symbol.st_size, UINT32_MAX)), ordinal};
}

template <class Visit>
void SymbolIndex::ForEachFunction(Visit visit) const {
  std::vector<Elf64_Sym> symbols(kSymbolsPerRead);
  const uint64_t count = std::min<uint64_t>(table_->size / sizeof(Elf64_Sym), UINT32_MAX);
  for (uint64_t first = 0; first < count; first += kSymbolsPerRead) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(count - first, kSymbolsPerRead));
    const uint64_t at = table_->offset + first * sizeof(Elf64_Sym);
    if (!elf_.ReadExact(at, symbols.data(), n * sizeof(Elf64_Sym))) return;
    for (size_t i = 0; i < n; ++i) {
      if (const auto entry = ToEntry(symbols[i], static_cast<uint32_t>(first + i))) visit(*entry);
    }
  }
}

// One pass over the table: how many functions, and where, should they not all fit.
void SymbolIndex::Count() {
  std::vector<uint32_t> histogram(kBuckets);
  bucket_bytes_ = span_ / kBuckets + 1;
  total_ = 0;
  ForEachFunction([&](const Entry& entry) {
    ++total_;
    ++histogram[entry.rel / bucket_bytes_];
  });
  if (total_ > max_entries_) histogram_ = std::move(histogram);
}

void SymbolIndex::ChooseWindow(uint32_t rel) {
  window_begin_ = 0;
  window_end_ = span_;
  if (histogram_.empty()) return;
  size_t first = static_cast<size_t>(rel / bucket_bytes_);
  size_t last = first;
  size_t sum = histogram_[first];
  // The function that holds `rel` may begin in an earlier bucket.
  while (first > 0) {
    const size_t below = histogram_[first - 1];
    if (sum + below > max_entries_) break;
    sum += below;
    --first;
    if (below != 0) break;
  }
  while (last + 1 < kBuckets && sum + histogram_[last + 1] <= max_entries_)
    sum += histogram_[++last];
  window_begin_ = first * bucket_bytes_;
  window_end_ = std::min(span_, (last + 1) * bucket_bytes_);
}

void SymbolIndex::Fill() {
  std::vector<Entry> entries;
  entries.reserve(std::min(total_, max_entries_));
  ForEachFunction([&](const Entry& entry) {
    if (entry.rel < window_begin_ || entry.rel >= window_end_) return;
    if (entries.size() < max_entries_) entries.push_back(entry);
  });
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.rel != b.rel ? a.rel < b.rel : a.ordinal < b.ordinal;
  });
  entries_ = std::move(entries);
}

bool SymbolIndex::Load(uint32_t rel) {
  if (InWindow(rel)) return true;
  if (table_ == nullptr || table_->entry_size != sizeof(Elf64_Sym)) return false;
  if (total_ == 0) Count();
  loaded_ = false;
  std::vector<Entry>().swap(
      entries_);  // before the new one is made: the limit is for both together
  ChooseWindow(rel);
  Fill();
  loaded_ = true;
  return true;
}

bool SymbolIndex::SameSection(uint32_t a, uint32_t b) const {
  const ElfSection* section = elf_.CodeSectionAt(base_ + a);
  return section != nullptr && section->Contains(base_ + b);
}

uint64_t SymbolIndex::EndOfUnsized(size_t entry) const {
  const Entry& start = entries_[entry];
  const ElfSection* section = elf_.CodeSectionAt(base_ + start.rel);
  uint64_t end = section != nullptr ? section->address + section->size : base_ + span_;
  for (size_t i = entry + 1; i < entries_.size(); ++i) {
    if (entries_[i].rel == start.rel) continue;
    return std::min(end, base_ + entries_[i].rel);
  }
  return end;
}

std::optional<SymbolIndex::Function> SymbolIndex::Find(uint64_t address) {
  if (address < base_ || address - base_ >= span_) return std::nullopt;
  const auto rel = static_cast<uint32_t>(address - base_);
  if (!Load(rel)) return std::nullopt;
  const auto above = std::upper_bound(entries_.begin(), entries_.end(), rel,
                                      [](uint32_t r, const Entry& e) { return r < e.rel; });
  std::optional<size_t> unsized;
  bool sized_between =
      false;  // a function that ended before us: older symbols without size did too
  size_t steps = 0;
  for (auto at = above; at != entries_.begin() && steps < kMaxLookBack; ++steps) {
    --at;
    const auto entry = static_cast<size_t>(at - entries_.begin());
    if (at->size != 0) {
      if (rel - at->rel < at->size) return Function{base_ + at->rel, at->size, entry};
      sized_between = true;
    } else if (!unsized && !sized_between && SameSection(at->rel, rel)) {
      unsized = entry;
    }
  }
  if (!unsized) return std::nullopt;
  const uint64_t start = base_ + entries_[*unsized].rel;
  return Function{start, EndOfUnsized(*unsized) - start, *unsized};
}

std::string SymbolIndex::Name(const Function& function) const {
  const Entry& chosen = entries_[function.entry];
  size_t i = function.entry;
  while (i > 0 && entries_[i - 1].rel == chosen.rel) --i;
  std::string best;
  bool best_local = true;
  const size_t end = std::min(entries_.size(), i + kMaxAliases);
  for (; i < end && entries_[i].rel == chosen.rel; ++i) {
    if ((entries_[i].size != 0) != (chosen.size != 0)) continue;
    Elf64_Sym symbol;
    const uint64_t at = table_->offset + uint64_t{entries_[i].ordinal} * sizeof symbol;
    if (!elf_.ReadExact(at, &symbol, sizeof symbol)) continue;
    std::string name = StripVersion(elf_.ReadName(*table_, symbol.st_name));
    const bool local = ELF64_ST_BIND(symbol.st_info) == STB_LOCAL;
    if (Rank(local, name) < Rank(best_local, best)) {
      best = std::move(name);
      best_local = local;
    }
  }
  return best;
}

}  // namespace sonde
