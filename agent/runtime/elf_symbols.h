// SPDX-License-Identifier: Apache-2.0
// The dynamic symbols of one loaded object, looked up by name through its hash table. Used by
// resolve.cc. Constant for as long as the object stays loaded; any number of threads; holds no
// memory of its own. Every table is trusted only as far as it lies inside the object's segments.
#pragma once

#include <link.h>
#include <stddef.h>
#include <stdint.h>

namespace sonde::runtime {

// Malloc-safe: may not allocate or block. The hash of DT_GNU_HASH.
uint32_t GnuHash(const char* name);

class ElfSymbols {
 public:
  // Malloc-safe: may not allocate or block. Reads the object's header and dynamic section. An
  // object that is not understood has no symbols.
  explicit ElfSymbols(const link_map& object);

  // Malloc-safe: may not allocate or block. The address, with an STT_GNU_IFUNC resolved by calling
  // its resolver; nullptr if the object does not define it. `version` may be null: the default one.
  void* Find(const char* name, uint32_t gnu_hash, const char* version) const;

 private:
  bool SetExtent(const link_map& object);
  void ReadDynamic(const ElfW(Dyn) * entries);
  const ElfW(Sym) * FindByGnuHash(const char* name, uint32_t hash, const char* version) const;
  const ElfW(Sym) * FindBySysvHash(const char* name, const char* version) const;
  const ElfW(Sym) * Match(uint32_t index, const char* name, const char* version) const;
  bool HasVersion(uint32_t index, const char* version) const;
  bool IsNamed(uint16_t version_index, const char* version) const;
  bool StringEquals(uint64_t offset, const char* text) const;

  // nullptr unless `count` elements lie inside the object.
  template <typename T>
  const T* At(uintptr_t address, size_t count = 1) const {
    const size_t bytes = count * sizeof(T);
    if (address < low_ || address > high_ || high_ - address < bytes) return nullptr;
    if (address % alignof(T) != 0) return nullptr;
    return reinterpret_cast<const T*>(address);
  }

  uintptr_t bias_ = 0;
  uintptr_t low_ = 0;
  uintptr_t high_ = 0;
  uintptr_t symbols_ = 0;
  uintptr_t strings_ = 0;
  uint64_t strings_bytes_ = 0;
  uintptr_t gnu_hash_ = 0;
  uintptr_t sysv_hash_ = 0;
  uintptr_t version_of_ = 0;
  uintptr_t version_definitions_ = 0;
};

}  // namespace sonde::runtime
