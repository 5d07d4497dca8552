// SPDX-License-Identifier: Apache-2.0
#include "agent/life/go_program.h"

#include <elf.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

namespace sonde::life {
namespace {

constexpr char kOwner[] = "Go";  // of .note.go.buildid
constexpr uint32_t kGoBuildId = 4;

struct ProgramHeaders {
  const Elf64_Phdr* first;
  size_t count;
  uintptr_t bias;  // what the loader added to the addresses in them
};

ProgramHeaders OfMainProgram() {
  ProgramHeaders headers{reinterpret_cast<const Elf64_Phdr*>(getauxval(AT_PHDR)),
                         getauxval(AT_PHNUM), 0};
  if (headers.first == nullptr) headers.count = 0;
  for (size_t i = 0; i < headers.count; ++i) {
    if (headers.first[i].p_type != PT_PHDR) continue;
    headers.bias = reinterpret_cast<uintptr_t>(headers.first) - headers.first[i].p_vaddr;
  }
  return headers;
}

// Only what a loaded segment covers is there to be read.
bool IsMapped(const ProgramHeaders& headers, const Elf64_Phdr& part) {
  for (size_t i = 0; i < headers.count; ++i) {
    const Elf64_Phdr& load = headers.first[i];
    if (load.p_type == PT_LOAD && (load.p_flags & PF_R) != 0 && load.p_vaddr <= part.p_vaddr &&
        part.p_vaddr + part.p_memsz <= load.p_vaddr + load.p_filesz)
      return true;
  }
  return false;
}

size_t Padded(size_t size) { return (size + 3) & ~size_t{3}; }

bool HasGoNote(const char* notes, size_t size) {
  while (size >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    memcpy(&note, notes, sizeof note);
    const size_t length = sizeof note + Padded(note.n_namesz) + Padded(note.n_descsz);
    if (length > size) return false;
    if (note.n_type == kGoBuildId && note.n_namesz == 4 &&
        memcmp(notes + sizeof note, kOwner, sizeof kOwner) == 0)
      return true;
    notes += length;
    size -= length;
  }
  return false;
}

}  // namespace

bool ProgramIsGo() {
  const ProgramHeaders headers = OfMainProgram();
  for (size_t i = 0; i < headers.count; ++i) {
    const Elf64_Phdr& part = headers.first[i];
    if (part.p_type != PT_NOTE || !IsMapped(headers, part)) continue;
    if (HasGoNote(reinterpret_cast<const char*>(headers.bias + part.p_vaddr), part.p_memsz))
      return true;
  }
  return false;
}

}  // namespace sonde::life
