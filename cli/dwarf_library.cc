// SPDX-License-Identifier: Apache-2.0
#include "cli/dwarf_library.h"

#include <dlfcn.h>

namespace sonde::cli {
namespace {

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

const DwarfLibrary* Load() {
  static DwarfLibrary functions;
  void* library = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  bool complete = true;
#define SONDE_FIND(name) complete = Find(library, #name, &functions.name) && complete;
  SONDE_LIBDW_FUNCTIONS(SONDE_FIND)
#undef SONDE_FIND
  return complete ? &functions : nullptr;
}

}  // namespace

const DwarfLibrary* LoadDwarfLibrary() {
  static const DwarfLibrary* const loaded = Load();
  return loaded;
}

}  // namespace sonde::cli
