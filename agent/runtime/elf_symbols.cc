// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/elf_symbols.h"

#include <elf.h>
#include <sys/auxv.h>

#include "collectors/safe/sys.h"

namespace sonde::runtime {
namespace {

constexpr uintptr_t kPageBytes = 4096;
constexpr uint16_t kHiddenVersion = 0x8000;
constexpr uint16_t kFirstNamedVersion = 2;
// More than any object has; ends a walk through damaged chains.
constexpr uint32_t kMaxChain = 1 << 16;

bool Equal(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

uint32_t SysvHash(const char* name) {
  uint32_t hash = 0;
  for (; *name != '\0'; ++name) {
    hash = (hash << 4) + static_cast<uint8_t>(*name);
    hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
  }
  return hash;
}

// rt_sigprocmask with an impossible `how` reads the new mask first: EFAULT tells that the page is
// not readable, EINVAL that it is. Nothing changes.
bool IsReadable(uintptr_t address) {
  constexpr long kNoSuchHow = ~0L;
  return sys::Call(SYS_rt_sigprocmask, kNoSuchHow, address, 0L, 8L) == -22 /* EINVAL */;
}

bool IsElf64(const ElfW(Ehdr) & header) {
  return header.e_ident[EI_MAG0] == ELFMAG0 && header.e_ident[EI_MAG1] == ELFMAG1 &&
         header.e_ident[EI_MAG2] == ELFMAG2 && header.e_ident[EI_MAG3] == ELFMAG3 &&
         header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_phentsize == sizeof(ElfW(Phdr));
}

struct Segments {
  const ElfW(Phdr) * first = nullptr;
  size_t count = 0;
};

// A shared object's header is the first thing that it maps; the loader's list tells where, if the
// object is linked at 0, as all are since prelink is gone.
Segments SegmentsAt(uintptr_t bias) {
  if (bias % kPageBytes != 0 || !IsReadable(bias)) return {};
  const auto& header = *reinterpret_cast<const ElfW(Ehdr)*>(bias);
  if (!IsElf64(header)) return {};
  if (header.e_phoff + header.e_phnum * sizeof(ElfW(Phdr)) > kPageBytes) return {};
  return {reinterpret_cast<const ElfW(Phdr)*>(bias + header.e_phoff), header.e_phnum};
}

// A program that is linked at fixed addresses is not moved, so the list does not tell where it is;
// the kernel does. Whether it is this object, its dynamic section tells.
Segments SegmentsOfFixedProgram(const link_map& object) {
  const Segments program{reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR)),
                         getauxval(AT_PHNUM)};
  if (program.first == nullptr) return {};
  for (size_t i = 0; i < program.count; ++i) {
    const ElfW(Phdr)& segment = program.first[i];
    const bool is_this =
        segment.p_type == PT_DYNAMIC && segment.p_vaddr == reinterpret_cast<uintptr_t>(object.l_ld);
    if (is_this) return program;
  }
  return {};
}

bool IsDefinition(const ElfW(Sym) & symbol) {
  const unsigned type = ELF64_ST_TYPE(symbol.st_info);
  const unsigned binding = ELF64_ST_BIND(symbol.st_info);
  const unsigned visibility = ELF64_ST_VISIBILITY(symbol.st_other);
  return symbol.st_shndx != SHN_UNDEF && symbol.st_value != 0 && type != STT_TLS &&
         (binding == STB_GLOBAL || binding == STB_WEAK || binding == STB_GNU_UNIQUE) &&
         (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

}  // namespace

uint32_t GnuHash(const char* name) {
  uint32_t hash = 5381;
  for (; *name != '\0'; ++name) hash = hash * 33 + static_cast<uint8_t>(*name);
  return hash;
}

ElfSymbols::ElfSymbols(const link_map& object) : bias_(object.l_addr) {
  if (SetExtent(object)) ReadDynamic(object.l_ld);
}

// Tables live in the read-only segments before, or with, the dynamic section; only readable ones
// count. Holes between segments are inaccessible, so the extent is what is contiguous from the
// first segment on.
bool ElfSymbols::SetExtent(const link_map& object) {
  const Segments segments =
      object.l_addr != 0 ? SegmentsAt(object.l_addr) : SegmentsOfFixedProgram(object);
  for (size_t i = 0; i < segments.count; ++i) {
    const ElfW(Phdr)& segment = segments.first[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_R) == 0) continue;
    const uintptr_t start = (bias_ + segment.p_vaddr) & ~(kPageBytes - 1);
    const uintptr_t end = bias_ + segment.p_vaddr + segment.p_memsz;
    if (high_ == 0) low_ = high_ = start;
    if (start <= ((high_ + kPageBytes - 1) & ~(kPageBytes - 1)) && end > high_) high_ = end;
  }
  return high_ > low_;
}

// The loader has added the bias to the addresses in place, except in objects whose dynamic section
// is read-only.
void ElfSymbols::ReadDynamic(const ElfW(Dyn) * entries) {
  for (; entries->d_tag != DT_NULL; ++entries) {
    const uintptr_t value = entries->d_un.d_ptr;
    const uintptr_t address = value < bias_ ? value + bias_ : value;
    switch (entries->d_tag) {
      case DT_SYMTAB:
        symbols_ = address;
        break;
      case DT_STRTAB:
        strings_ = address;
        break;
      case DT_STRSZ:
        strings_bytes_ = entries->d_un.d_val;
        break;
      case DT_GNU_HASH:
        gnu_hash_ = address;
        break;
      case DT_HASH:
        sysv_hash_ = address;
        break;
      case DT_VERSYM:
        version_of_ = address;
        break;
      case DT_VERDEF:
        version_definitions_ = address;
        break;
      default:
        break;
    }
  }
}

void* ElfSymbols::Find(const char* name, uint32_t gnu_hash, const char* version) const {
  const ElfW(Sym)* symbol = nullptr;
  if (gnu_hash_ != 0) {
    symbol = FindByGnuHash(name, gnu_hash, version);
  } else if (sysv_hash_ != 0) {
    symbol = FindBySysvHash(name, version);
  }
  if (symbol == nullptr) return nullptr;
  const uintptr_t address = bias_ + symbol->st_value;
  if (ELF64_ST_TYPE(symbol->st_info) != STT_GNU_IFUNC) return reinterpret_cast<void*>(address);
  return reinterpret_cast<void* (*)()>(address)();
}

// Layout: four words {buckets, first hashed symbol, filter words, filter shift}, the filter, the
// buckets, the chains.
const ElfW(Sym) * ElfSymbols::FindByGnuHash(const char* name, uint32_t hash,
                                            const char* version) const {
  const auto* head = At<uint32_t>(gnu_hash_, 4);
  if (head == nullptr || head[0] == 0 || head[2] == 0) return nullptr;
  const uintptr_t filter = gnu_hash_ + 4 * sizeof(uint32_t);
  const auto* word = At<uint64_t>(filter + hash / 64 % head[2] * sizeof(uint64_t));
  if (word == nullptr || head[3] > 31) return nullptr;
  if ((*word >> (hash % 64) & *word >> ((hash >> head[3]) % 64) & 1) == 0) return nullptr;
  const uintptr_t buckets = filter + uintptr_t{head[2]} * sizeof(uint64_t);
  const auto* bucket = At<uint32_t>(buckets + uintptr_t{hash % head[0]} * sizeof(uint32_t));
  if (bucket == nullptr || *bucket < head[1]) return nullptr;
  const uintptr_t chains = buckets + uintptr_t{head[0]} * sizeof(uint32_t);
  for (uint32_t index = *bucket; index - *bucket < kMaxChain; ++index) {
    const auto* entry = At<uint32_t>(chains + uintptr_t{index - head[1]} * sizeof(uint32_t));
    if (entry == nullptr) return nullptr;
    if ((*entry | 1) == (hash | 1)) {
      if (const auto* symbol = Match(index, name, version)) return symbol;
    }
    if ((*entry & 1) != 0) return nullptr;
  }
  return nullptr;
}

// Layout: two words {buckets, symbols}, the buckets, the chains.
const ElfW(Sym) * ElfSymbols::FindBySysvHash(const char* name, const char* version) const {
  const auto* head = At<uint32_t>(sysv_hash_, 2);
  if (head == nullptr || head[0] == 0) return nullptr;
  const auto* buckets = At<uint32_t>(sysv_hash_ + 2 * sizeof(uint32_t), size_t{head[0]} + head[1]);
  if (buckets == nullptr) return nullptr;
  const uint32_t* chains = buckets + head[0];
  uint32_t index = buckets[SysvHash(name) % head[0]];
  for (uint32_t steps = 0; index != 0 && index < head[1] && steps < kMaxChain; ++steps) {
    if (const auto* symbol = Match(index, name, version)) return symbol;
    index = chains[index];
  }
  return nullptr;
}

const ElfW(Sym) * ElfSymbols::Match(uint32_t index, const char* name, const char* version) const {
  const auto* symbol = At<ElfW(Sym)>(symbols_ + uintptr_t{index} * sizeof(ElfW(Sym)));
  if (symbol == nullptr || !IsDefinition(*symbol) || !StringEquals(symbol->st_name, name))
    return nullptr;
  return HasVersion(index, version) ? symbol : nullptr;
}

bool ElfSymbols::HasVersion(uint32_t index, const char* version) const {
  if (version_of_ == 0) return version == nullptr;
  const auto* version_index = At<uint16_t>(version_of_ + uintptr_t{index} * sizeof(uint16_t));
  if (version_index == nullptr) return false;
  if (version == nullptr) return (*version_index & kHiddenVersion) == 0;
  const auto plain = static_cast<uint16_t>(*version_index & ~kHiddenVersion);
  return plain >= kFirstNamedVersion && IsNamed(plain, version);
}

bool ElfSymbols::IsNamed(uint16_t version_index, const char* version) const {
  uintptr_t address = version_definitions_;
  for (uint32_t steps = 0; steps < kMaxChain; ++steps) {
    const auto* definition = At<ElfW(Verdef)>(address);
    if (definition == nullptr) return false;
    if (definition->vd_ndx == version_index) {
      const auto* name = At<ElfW(Verdaux)>(address + definition->vd_aux);
      return name != nullptr && StringEquals(name->vda_name, version);
    }
    if (definition->vd_next == 0) return false;
    address += definition->vd_next;
  }
  return false;
}

// The table's last byte is checked to be a zero, so no comparison runs off its end.
bool ElfSymbols::StringEquals(uint64_t offset, const char* text) const {
  if (offset >= strings_bytes_) return false;
  const auto* table = At<char>(strings_, strings_bytes_);
  return table != nullptr && table[strings_bytes_ - 1] == '\0' && Equal(table + offset, text);
}

}  // namespace sonde::runtime
