// SPDX-License-Identifier: Apache-2.0
// What unwind tables of whole objects cost, and what chunks of several sizes cost: memory and CPU.
// The figures beside the choice in collectors/unwind_tables_entry.h come from here.
//
//   bench_unwind_tables FILE...      (ELF files; mapped, not run)
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "collectors/unwind_tables_objects.h"
#include "collectors/unwind_tables_rows.h"
#include "collectors/unwind_tables_section.h"

namespace {

constexpr uint64_t kPageMask = 4095;
constexpr size_t kChunksTried = 200;

double CpuMs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// Maps the segments of an ELF file as a loader would; that is enough to be found.
bool MapImage(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  Elf64_Ehdr elf;
  if (fd < 0 || pread(fd, &elf, sizeof(elf), 0) != sizeof(elf)) return false;
  std::vector<Elf64_Phdr> headers(elf.e_phnum);
  const size_t bytes = headers.size() * sizeof(Elf64_Phdr);
  if (pread(fd, headers.data(), bytes, static_cast<off_t>(elf.e_phoff)) !=
      static_cast<ssize_t>(bytes)) {
    return false;
  }
  uint64_t low = ~uint64_t{0}, high = 0;
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type != PT_LOAD) continue;
    low = std::min(low, header.p_vaddr & ~kPageMask);
    high = std::max(high, header.p_vaddr + header.p_memsz);
  }
  void* const place = mmap(nullptr, high - low, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return false;
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type != PT_LOAD) continue;
    const uint64_t at = header.p_vaddr & ~kPageMask;
    const int protection = PROT_READ | ((header.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
    mmap(static_cast<uint8_t*>(place) + (at - low), header.p_filesz + (header.p_vaddr - at),
         protection, MAP_PRIVATE | MAP_FIXED, fd, static_cast<off_t>(header.p_offset & ~kPageMask));
  }
  close(fd);
  return true;
}

void MeasureWhole(const sonde::ProcessMemory& memory, const sonde::LoadedObject& object) {
  sonde::TableMemory copy;
  sonde::EhFrameSection section;
  sonde::UnwindRowBuilder builder;
  sonde::UnwindBlock block;
  const double start = CpuMs();
  if (!sonde::CopyEhFrame(memory, object, &copy, &section) ||
      !builder.Build(section, object.text_low, object.text_high, &block)) {
    printf("    whole: cannot be built\n");
    return;
  }
  printf("    whole: %u functions, %u rows, %.2f MiB, %.1f ms\n", block.counts.functions,
         block.counts.rows, static_cast<double>(block.bytes) / 1048576, CpuMs() - start);
}

void MeasureChunks(const sonde::ProcessMemory& memory, const sonde::LoadedObject& object,
                   uint64_t size) {
  std::mt19937_64 random(3);
  std::vector<double> ms, bytes;
  sonde::UnwindRowBuilder builder;
  for (size_t i = 0; i < kChunksTried; ++i) {
    const uint64_t pc = object.text_low + random() % (object.text_high - object.text_low);
    const uint64_t low = std::max(pc & ~(size - 1), object.text_low);
    const uint64_t high = std::min((pc & ~(size - 1)) + size, object.text_high);
    const double start = CpuMs();
    sonde::PartialSection section(memory, object);
    sonde::UnwindBlock block;
    if (section.Build(low, high, builder, &block) != sonde::PartialSection::Outcome::kBuilt) return;
    ms.push_back(CpuMs() - start);
    bytes.push_back(static_cast<double>(block.bytes));
  }
  std::sort(ms.begin(), ms.end());
  double sum = 0;
  for (const double one : bytes) sum += one;
  printf("    chunks of %3llu KiB: %.1f KiB each, %.2f ms (median; 95 %%: %.2f)\n",
         static_cast<unsigned long long>(size / 1024), sum / 1024 / static_cast<double>(ms.size()),
         ms[ms.size() / 2], ms[ms.size() * 95 / 100]);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (!MapImage(argv[i])) fprintf(stderr, "%s: expected an ELF file\n", argv[i]);
  }
  const sonde::ProcessMemory memory;
  sonde::CodeList code;
  if (!sonde::ListCode(memory, {}, &code)) return 1;
  for (const sonde::LoadedObject& object : code.objects) {
    const bool wanted = std::any_of(argv + 1, argv + argc, [&](const char* path) {
      return object.name.find(strrchr(path, '/') != nullptr ? strrchr(path, '/') + 1 : path) !=
             std::string::npos;
    });
    if (!wanted) continue;
    printf("%s: %.1f MiB of text, %u in its search table\n", object.name.c_str(),
           static_cast<double>(object.text_high - object.text_low) / 1048576, object.functions);
    MeasureWhole(memory, object);
    for (const uint64_t size : {uint64_t{16} << 10, uint64_t{64} << 10, uint64_t{256} << 10}) {
      MeasureChunks(memory, object, size);
    }
  }
  return 0;
}
