// SPDX-License-Identifier: Apache-2.0
// Address -> function name, off every hot path: from .symtab, else .dynsym, with PLT entries as
// "name@plt" and separate debug files found by build id. Used by the profile builder in the agent,
// and by the CLI. Not thread-safe: one owner. Objects are opened when first asked about. Memory:
// indexes, names and open files are bounded by SymbolizerOptions; the least recently used object
// goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "profile/byte_source.h"
#include "profile/elf_file.h"
#include "profile/mappings.h"
#include "profile/plt.h"
#include "profile/symbol_index.h"

namespace sonde {

struct Symbol {
  std::string name;             // demangled; empty: unknown, show `module` + `module_address`
  uint64_t start = 0;           // run-time address of the function; 0: unknown
  uint64_t size = 0;            // bytes
  std::string module;           // path of the mapping
  uint64_t module_address = 0;  // link-time address, as addr2line takes it; 0: object unreadable
};

struct SymbolizerOptions {
  size_t max_index_bytes = 4 << 20;  // all objects together; one object never gets more than half
  size_t max_name_bytes = 1 << 20;   // names kept for the next profile
  size_t max_objects = 32;           // open at a time, each with one descriptor
  // Where "/proc/PID/root" or a cache directory has the files; before every path.
  std::string root;
  // Where the system keeps separate debug files; empty: do not look.
  std::string debug_root = "/usr/lib/debug/.build-id";
  // For what has no file: the vdso. Empty: not symbolized.
  MemoryReader memory;
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
  Result<std::unique_ptr<ByteSource>> OpenBytes(const Mapping& mapping) const;
  void Note(const std::string& problem);
  void NameOf(Object* object, uint64_t address, Symbol* symbol);
  std::string PltName(Object* object, const PltEntry& entry);
  const std::string& Remember(Object* object, uint64_t start, std::string name);
  void Shrink();

  SymbolizerOptions options_;
  Objects objects_;  // most recently used first
  size_t name_bytes_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace sonde
