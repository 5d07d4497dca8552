// SPDX-License-Identifier: Apache-2.0
#include "profile/symbolizer.h"

#include <algorithm>
#include <optional>

#include "profile/demangle.h"
#include "profile/function_range.h"
#include "profile/hex.h"
#include "profile/xz.h"

namespace sonde {
namespace {

constexpr size_t kMaxProblems = 64;
constexpr size_t kEntryBytes = 12;    // of a symbol index
constexpr size_t kNameOverhead = 64;  // of one remembered name

// What tells one object from another; addresses do not, they are reused after dlclose.
std::string KeyOf(const Mapping& m) {
  std::string key = m.path;
  key.append("|").append(m.device).append("|").append(std::to_string(m.inode));
  key.append("|").append(m.build_id).append(m.deleted ? "|deleted" : "|");
  if (!m.IsFile() || m.deleted)
    key.append(std::to_string(m.start)).append("|").append(std::to_string(m.pid));
  return key;
}

}  // namespace

struct Symbolizer::Object {
  std::string key;
  std::unique_ptr<ElfFile> elf;    // nullptr: could not be used
  std::unique_ptr<ElfFile> debug;  // separate debug file, if any
  std::unique_ptr<ElfFile> extra;  // what .gnu_debugdata holds
  size_t extra_bytes = 0;
  std::optional<SymbolIndex> index;
  std::optional<SymbolIndex> extra_index;
  std::unordered_map<uint64_t, std::string> names;  // by link-time start
};

Symbolizer::Symbolizer(SymbolizerOptions options) : options_(std::move(options)) {}
Symbolizer::~Symbolizer() = default;

void Symbolizer::Forget() {
  objects_.clear();
  generated_.clear();
  name_bytes_ = 0;
}

size_t Symbolizer::memory_bytes() const {
  size_t sum = name_bytes_;
  for (const auto& object : objects_) {
    if (object->index) sum += object->index->memory_bytes();
    if (object->extra_index) sum += object->extra_index->memory_bytes();
    sum += object->extra_bytes;
  }
  return sum;
}

void Symbolizer::Note(const std::string& problem) {
  const bool known = std::find(problems_.begin(), problems_.end(), problem) != problems_.end();
  if (!known && problems_.size() < kMaxProblems) problems_.push_back(problem);
}

Result<std::unique_ptr<ByteSource>> Symbolizer::OpenBytes(const Mapping& mapping) const {
  if (!mapping.IsFile()) {
    if (mapping.path != "[vdso]" || !options_.memory) return Error{mapping.path + ": has no file"};
    return OpenMemory(options_.memory, mapping.start, mapping.limit - mapping.start);
  }
  return OpenFile(options_.root + mapping.path);
}

// The inode that is mapped, as long as the kernel lets us (map_files wants a capability); else what
// of it lies in memory, which has the dynamic symbols.
Result<std::unique_ptr<ElfFile>> Symbolizer::OpenDeleted(const Mapping& mapping) const {
  auto source = OpenFile("/proc/" + std::to_string(mapping.pid) + "/map_files/" +
                         Hex(mapping.start) + "-" + Hex(mapping.limit));
  if (source) {
    auto elf = ElfFile::Open(std::move(*source));
    if (elf) return elf;
  }
  if (options_.memory && mapping.pid == options_.memory_pid && mapping.image_start != 0)
    return ElfFile::OpenLoaded(options_.memory, mapping.image_start, mapping.image_limit);
  return Error{mapping.path + ": was deleted or replaced after it was loaded"};
}

Result<std::unique_ptr<ElfFile>> Symbolizer::OpenElf(const Mapping& mapping) const {
  if (options_.open) {
    auto given = options_.open(mapping);
    if (given) return ElfFile::Open(std::move(*given));
  }
  auto source = OpenBytes(mapping);
  if (!source && !mapping.deleted) return Error{source.error()};
  if (source) {
    auto elf = ElfFile::Open(std::move(*source));
    if (!mapping.deleted && elf) return elf;
    if (!mapping.deleted) return Error{mapping.path + ": " + elf.error()};
    // The same build put into its place by an upgrade to itself.
    if (elf && !mapping.build_id.empty() && (*elf)->build_id() == mapping.build_id) return elf;
  }
  return OpenDeleted(mapping);
}

void Symbolizer::Open(const Mapping& mapping, Object* object) {
  auto elf = OpenElf(mapping);
  if (!elf) return Note(elf.error());
  const std::string& found = (*elf)->build_id();
  if (!mapping.build_id.empty() && !found.empty() && found != mapping.build_id) {
    return Note(mapping.path + ": build id on disk " + found + ", loaded " + mapping.build_id +
                ": not used");
  }
  object->elf = std::move(*elf);
  OpenDebugFile(object);
  const ElfFile& names = object->debug ? *object->debug : *object->elf;
  object->index.emplace(names, options_.max_index_bytes / 2 / kEntryBytes);
  OpenDebugData(object);
}

// What a stripped program of Fedora's kin has instead of .symtab.
void Symbolizer::OpenDebugData(Object* object) {
  const ElfSection* section = object->elf->FindSection(ElfSection::Kind::kDebugData);
  const ElfSection* table = object->elf->BestSymbolTable();
  const bool has_names = table != nullptr && table->kind == ElfSection::Kind::kSymtab;
  if (section == nullptr || has_names || object->debug) return;
  if (section->size > options_.max_debugdata_bytes) return;
  std::vector<uint8_t> packed(section->size);
  if (!object->elf->ReadExact(section->offset, packed.data(), packed.size())) return;
  auto unpacked = UnpackXz(packed, options_.max_debugdata_bytes);
  if (!unpacked) return Note(".gnu_debugdata: " + unpacked.error());
  const size_t bytes = unpacked->size();
  auto elf = ElfFile::Open(OpenText(std::move(*unpacked)));
  if (!elf) return Note(".gnu_debugdata: " + elf.error());
  object->extra = std::move(*elf);
  object->extra_bytes = bytes;
  object->extra_index.emplace(*object->extra, options_.max_index_bytes / 4 / kEntryBytes);
}

// Only for an object without .symtab; a debug file counts only with the same build id.
void Symbolizer::OpenDebugFile(Object* object) {
  const std::string& id = object->elf->build_id();
  const ElfSection* table = object->elf->BestSymbolTable();
  if (options_.debug_root.empty() || id.size() < 4) return;
  if (table != nullptr && table->kind == ElfSection::Kind::kSymtab) return;
  auto source = OpenFile(options_.root + options_.debug_root + "/" + id.substr(0, 2) + "/" +
                         id.substr(2) + ".debug");
  if (!source) return;
  auto elf = ElfFile::Open(std::move(*source));
  if (!elf || (*elf)->build_id() != id) return;
  const ElfSection* better = (*elf)->BestSymbolTable();
  if (better != nullptr && better->kind == ElfSection::Kind::kSymtab)
    object->debug = std::move(*elf);
}

Symbolizer::Object& Symbolizer::Find(const Mapping& mapping) {
  std::string key = KeyOf(mapping);
  const auto found =
      std::find_if(objects_.begin(), objects_.end(), [&](const auto& o) { return o->key == key; });
  if (found != objects_.end()) {
    objects_.splice(objects_.begin(), objects_, found);
    return *objects_.front();
  }
  auto object = std::make_unique<Object>();
  object->key = std::move(key);
  Open(mapping, object.get());
  objects_.push_front(std::move(object));
  return *objects_.front();
}

// Drops the least recently used objects, never the one in use.
void Symbolizer::Shrink() {
  const auto too_much = [&] {
    return objects_.size() > options_.max_objects || name_bytes_ > options_.max_name_bytes ||
           memory_bytes() - name_bytes_ > options_.max_index_bytes;
  };
  while (objects_.size() > 1 && too_much()) {
    for (const auto& [start, name] : objects_.back()->names) {
      name_bytes_ -= name.size() + kNameOverhead;
    }
    objects_.pop_back();
  }
  if (name_bytes_ <= options_.max_name_bytes || objects_.empty()) return;
  objects_.front()->names.clear();
  name_bytes_ = 0;
}

const std::string& Symbolizer::Remember(Object* object, uint64_t start, std::string name) {
  const size_t bytes = name.size() + kNameOverhead;
  const auto [entry, fresh] = object->names.try_emplace(start);
  if (fresh) {
    entry->second = std::move(name);
    name_bytes_ += bytes;
  }
  return entry->second;
}

std::string Symbolizer::PltName(Object* object, const PltEntry& entry) {
  const PltTarget target = ResolvePltEntry(*object->elf, entry);
  std::string name = target.name;
  if (target.resolver != 0) {
    const auto function = object->index->Find(target.resolver);
    if (function) name = object->index->Name(*function);
  }
  // An entry that nothing can be found out about, such as the first one of .plt, is just "plt".
  return name.empty() ? "plt" : Demangle(name).append("@plt");
}

// The narrower of the two tables' answers: a symbol without size reaches up to the next one of its
// own table, which may lie behind functions that only the other table knows.
std::optional<SymbolIndex::Function> Symbolizer::FindFunction(Object* object, uint64_t address,
                                                              const SymbolIndex** index) {
  auto function = object->index->Find(address);
  *index = &*object->index;
  if (!object->extra_index) return function;
  const auto other = object->extra_index->Find(address);
  if (!other || (function && function->size <= other->size)) return function;
  *index = &*object->extra_index;
  return other;
}

// Fills in name, start (still link-time) and size.
void Symbolizer::NameOf(Object* object, uint64_t address, Symbol* symbol) {
  const auto plt = FindPltEntry(*object->elf, address);
  std::optional<SymbolIndex::Function> function;
  const SymbolIndex* index = nullptr;
  if (!plt) function = FindFunction(object, address, &index);
  if (!plt && !function) return;
  symbol->start = plt ? plt->address : function->address;
  symbol->size = plt ? plt->size : function->size;
  const auto known = object->names.find(symbol->start);
  if (known != object->names.end()) {
    symbol->name = known->second;
    return;
  }
  std::string name = plt ? PltName(object, *plt) : Demangle(index->Name(*function));
  symbol->name = Remember(object, symbol->start, std::move(name));
}

void Symbolizer::ReadPerfMap(int pid, std::span<const uint64_t> addresses) {
  std::vector<PerfMapQuery> queries;
  queries.reserve(addresses.size());
  for (const uint64_t address : addresses) queries.push_back({address});
  ReadPerfMap(pid, queries);
}

void Symbolizer::ReadPerfMap(int pid, std::span<const PerfMapQuery> queries) {
  generated_.erase(pid);
  if (!options_.open_perf_map || queries.empty()) return;
  const auto map = options_.open_perf_map(pid);
  if (!map) return;
  std::vector<PerfMapName> names = LookUpPerfMap(**map, queries);
  std::map<PerfMapQuery, PerfMapName>& known = generated_[pid];
  size_t bytes = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    bytes += names[i].name.size() + kNameOverhead;
    if (names[i].name.empty() || bytes > options_.max_name_bytes) continue;
    known.emplace_hint(known.end(), queries[i], std::move(names[i]));
  }
}

Symbol Symbolizer::LookupGenerated(const Mapping& mapping, uint64_t address) const {
  Symbol symbol;
  symbol.module = mapping.path;
  const auto process = generated_.find(mapping.pid);
  if (process == generated_.end()) return symbol;
  const auto found = process->second.find({address, mapping.perf_map});
  if (found == process->second.end()) return symbol;
  symbol.name = found->second.name;
  symbol.start = found->second.start;
  symbol.size = found->second.size;
  return symbol;
}

Symbol Symbolizer::Lookup(const Mapping& mapping, uint64_t address) {
  Symbol symbol;
  symbol.module = mapping.path;
  if (!mapping.Contains(address)) return symbol;
  if (mapping.IsGenerated()) return LookupGenerated(mapping, address);
  Object& object = Find(mapping);
  if (object.elf != nullptr) {
    const auto link = object.elf->OffsetToAddress(address - mapping.start + mapping.offset);
    if (link) {
      symbol.module_address = *link;
      NameOf(&object, *link, &symbol);
      if (!symbol.name.empty()) {
        symbol.start += address - *link;
      } else if (const auto function = FindFunctionRange(*object.elf, *link)) {
        symbol.unnamed_start = function->address;
      }
    }
  }
  if (symbol.name.empty()) symbol.start = symbol.size = 0;
  Shrink();
  return symbol;
}

}  // namespace sonde
