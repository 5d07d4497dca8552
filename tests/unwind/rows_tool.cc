// SPDX-License-Identifier: Apache-2.0
// Says what the packed unwind tables of an ELF file hold, for compare_rows.py.
//
//   unwind_rows FILE < addresses      (hexadecimal, one a line)
//
// Prints one line an address: CFA, where rbp is, where the return address is; in readelf's words.
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "collectors/eh_frame.h"
#include "collectors/unwind_tables_rows.h"

namespace {

using sonde::CfaKind;
using sonde::RbpKind;
using sonde::UnwindRule;

struct Image {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

[[noreturn]] void Die(const char* what, const char* file) {
  fprintf(stderr, "unwind_rows: %s: %s\n", file, what);
  exit(2);
}

Image MapFile(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) Die("cannot be opened", path);
  void* data = mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) Die("cannot be mapped", path);
  close(fd);
  return {static_cast<const uint8_t*>(data), static_cast<size_t>(status.st_size)};
}

// The file is one of the machine's own libraries: its headers are believed.
sonde::EhFrameSection FindEhFrame(const Image& image, uint64_t* low, uint64_t* high) {
  const auto* elf = reinterpret_cast<const Elf64_Ehdr*>(image.data);
  const auto* programs = reinterpret_cast<const Elf64_Phdr*>(image.data + elf->e_phoff);
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(image.data + elf->e_shoff);
  const char* names =
      reinterpret_cast<const char*>(image.data + sections[elf->e_shstrndx].sh_offset);
  *low = ~uint64_t{0};
  *high = 0;
  for (int i = 0; i < elf->e_phnum; ++i) {
    if (programs[i].p_type != PT_LOAD || (programs[i].p_flags & PF_X) == 0) continue;
    *low = std::min<uint64_t>(*low, programs[i].p_vaddr);
    *high = std::max<uint64_t>(*high, programs[i].p_vaddr + programs[i].p_memsz);
  }
  for (int i = 0; i < elf->e_shnum; ++i) {
    if (std::string_view(names + sections[i].sh_name) != ".eh_frame") continue;
    return {image.data + sections[i].sh_offset, sections[i].sh_size, sections[i].sh_addr};
  }
  return {};
}

const char* Name(sonde::Greg reg) {
  static const char* const kNames[] = {"r8",  "r9",  "r10", "r11", "r12", "r13",
                                       "r14", "r15", "rdi", "rsi", "rbp", "rbx",
                                       "rdx", "rax", "rcx", "rsp", "rip"};
  return kNames[reg];
}

UnwindRule Unpack(const sonde::UnwindTable& module, sonde::UnwindRow row) {
  UnwindRule rule;
  rule.cfa = sonde::RowCfa(row);
  if (rule.cfa == CfaKind::kWide) return module.rules[sonde::RowValue(row)];
  rule.reg = rule.cfa == CfaKind::kRbp ? sonde::kRbp : sonde::kRsp;
  rule.offset = static_cast<int32_t>(sonde::RowValue(row)) * 8;
  if (sonde::RowRbp(row) == 0) return rule;
  rule.rbp = RbpKind::kAtCfa;
  rule.rbp_offset = -8 * static_cast<int32_t>(sonde::RowRbp(row) + 1);
  return rule;
}

std::string CfaText(const UnwindRule& rule) {
  const std::string offset = (rule.offset < 0 ? "" : "+") + std::to_string(rule.offset);
  switch (rule.cfa) {
    case CfaKind::kRsp:
    case CfaKind::kRbp:
    case CfaKind::kRegister:
      return Name(rule.reg) + offset;
    case CfaKind::kDeref:
    case CfaKind::kPlt:
    case CfaKind::kSignal:
      return "exp";
    case CfaKind::kRoot:
      return "root";
    default:
      return "none";
  }
}

std::string RbpText(const UnwindRule& rule) {
  switch (rule.rbp) {
    case RbpKind::kSame:
      return "same";
    case RbpKind::kUndefined:
      return "undefined";
    case RbpKind::kAtCfa:
      return (rule.rbp_offset < 0 ? "c" : "c+") + std::to_string(rule.rbp_offset);
    default:
      return "exp";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "unwind_rows: expected one argument, an ELF file\n");
    return 2;
  }
  const Image image = MapFile(argv[1]);
  if (image.size < sizeof(Elf64_Ehdr) || memcmp(image.data, ELFMAG, SELFMAG) != 0) {
    Die("expected an ELF file", argv[1]);
  }
  uint64_t low, high;
  const sonde::EhFrameSection section = FindEhFrame(image, &low, &high);
  if (section.data == nullptr) Die("expected a section .eh_frame", argv[1]);
  sonde::UnwindRowBuilder builder;
  sonde::UnwindBlock block;
  timespec start, end;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  if (!builder.Build(section, low, high, &block)) Die("no memory", argv[1]);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  fprintf(stderr, "%u functions, %u rows, %u wide rules, %zu KiB, %.1f ms\n",
          block.counts.functions, block.counts.rows, block.counts.wide_rules,
          block.memory.size() / 1024,
          static_cast<double>(end.tv_sec - start.tv_sec) * 1e3 +
              static_cast<double>(end.tv_nsec - start.tv_nsec) / 1e6);
  for (char line[64]; fgets(line, sizeof(line), stdin) != nullptr;) {
    const uint64_t pc = strtoull(line, nullptr, 16);
    if (pc < low || pc >= high) {
      puts("outside");
      continue;
    }
    const UnwindRule rule = Unpack(block.module, block.module.Find(pc + 1));
    printf("%s %s\n", CfaText(rule).c_str(), RbpText(rule).c_str());
  }
  return 0;
}
