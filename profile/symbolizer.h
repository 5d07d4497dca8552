// SPDX-License-Identifier: Apache-2.0
// Address -> function name, off every hot path: from .symtab, of the object or of a separate debug
// file with its build id; else from .dynsym and .gnu_debugdata; PLT entries as "name@plt". Files
// that were deleted or replaced are read from what is still mapped, generated code is named by perf
// maps. A name that may be wrong is not given. Used by the profile builder in the agent, and by the
// CLI. Not thread-safe: one owner. Objects are opened when first asked about. Memory: indexes,
// names and open files are bounded by SymbolizerOptions; the least recently used object goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "profile/byte_source.h"
#include "profile/elf_file.h"
#include "profile/mappings.h"
#include "profile/perf_map.h"
#include "profile/plt.h"
#include "profile/symbol_index.h"

namespace sonde {

struct Symbol {
  std::string name;             // demangled; empty: unknown, show `module` + `module_address`
  uint64_t start = 0;           // run-time address of the function; 0: unknown
  uint64_t size = 0;            // bytes
  std::string module;           // path of the mapping
  uint64_t module_address = 0;  // link-time address, as addr2line takes it; 0: object unreadable
  // Of a function without name: its link-time start, by the unwind tables; 0: unknown.
  uint64_t unnamed_start = 0;
};

struct SymbolizerOptions {
  size_t max_index_bytes = 4 << 20;  // all objects together; one object never gets more than half
  size_t max_name_bytes = 1 << 20;   // names kept for the next profile
  size_t max_objects = 32;           // open at a time, each with one descriptor
  // Where "/proc/PID/root" or a cache directory has the files; before every path.
  std::string root;
  // Where the system keeps separate debug files; empty: do not look.
  std::string debug_root = "/usr/lib/debug/.build-id";
  // For what has no file any more, and for the vdso. Empty: not symbolized.
  MemoryReader memory;
  int memory_pid = 0;  // whose memory `memory` reads; deleted files of others have no names
  // The perf map of a process; empty: generated code has no names.
  std::function<Result<std::unique_ptr<ByteSource>>(int pid)> open_perf_map;
  // .gnu_debugdata that unpacks to more than this is left out.
  size_t max_debugdata_bytes = 4 << 20;
  // Another way to the bytes of a mapping, tried first; its error means "go on with the file".
  std::function<Result<std::unique_ptr<ByteSource>>(const Mapping&)> open;
};

class Symbolizer {
 public:
  explicit Symbolizer(SymbolizerOptions options);
  ~Symbolizer();
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  // `address` is a run-time address inside `mapping`. Cheapest in address order. Throws
  // std::bad_alloc only, and can be asked again afterwards.
  Symbol Lookup(const Mapping& mapping, uint64_t address);

  // Names the sorted addresses of generated code of a process, by one pass over its perf map as it
  // is now, for the Lookups that follow. Replaces what was read for that process before.
  void ReadPerfMap(int pid, std::span<const uint64_t> addresses);
  // The same, each as of its time, which is that of the Lookup's mapping.
  void ReadPerfMap(int pid, std::span<const PerfMapQuery> queries);

  // Objects that could not be used, and why, since the start; one sentence each, bounded.
  const std::vector<std::string>& problems() const { return problems_; }
  size_t memory_bytes() const;
  // Closes every file and drops every table.
  void Forget();

 private:
  struct Object;
  using Objects = std::list<std::unique_ptr<Object>>;

  Object& Find(const Mapping& mapping);
  void Open(const Mapping& mapping, Object* object);
  void OpenDebugFile(Object* object);
  void OpenDebugData(Object* object);
  Result<std::unique_ptr<ElfFile>> OpenElf(const Mapping& mapping) const;
  Result<std::unique_ptr<ElfFile>> OpenDeleted(const Mapping& mapping) const;
  Symbol LookupGenerated(const Mapping& mapping, uint64_t address) const;
  Result<std::unique_ptr<ByteSource>> OpenBytes(const Mapping& mapping) const;
  void Note(const std::string& problem);
  static std::optional<SymbolIndex::Function> FindFunction(Object* object, uint64_t address,
                                                           const SymbolIndex** index);
  void NameOf(Object* object, uint64_t address, Symbol* symbol);
  std::string PltName(Object* object, const PltEntry& entry);
  const std::string& Remember(Object* object, uint64_t start, std::string name);
  void Shrink();

  SymbolizerOptions options_;
  Objects objects_;  // most recently used first
  size_t name_bytes_ = 0;
  std::map<int, std::map<PerfMapQuery, PerfMapName>> generated_;  // by pid
  std::vector<std::string> problems_;
};

}  // namespace sonde
