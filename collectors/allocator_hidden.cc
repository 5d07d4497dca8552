// SPDX-License-Identifier: Apache-2.0
// Texts that allocators leave in the read-only data of the program that they are linked into. Read
// from the file, not from memory: pages of the program that it never touched would become a part of
// its RSS.
#include <elf.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>
#include <array>

#include "collectors/allocator_detect.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr size_t kPieceBytes = size_t{64} << 10;
constexpr size_t kOverlapBytes = 64;  // longer than any of the texts
constexpr size_t kMaxSegments = 64;

struct Text {
  AllocatorKind kind;
  std::string_view text;
};
constexpr std::array kTexts = {
    Text{AllocatorKind::kJemalloc, "<jemalloc>: "},
    Text{AllocatorKind::kGperftools, "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD"},
    Text{AllocatorKind::kGoogleTcmalloc, "tcmalloc.per_cpu_caches_active"},
    Text{AllocatorKind::kMimalloc, "mimalloc: error: "},
};

class ProgramFile {
 public:
  ProgramFile() : fd_(sys::Call(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC)) {}
  ~ProgramFile() {
    if (!sys::Failed(fd_)) sys::Call(SYS_close, fd_);
  }
  ProgramFile(const ProgramFile&) = delete;
  ProgramFile& operator=(const ProgramFile&) = delete;

  size_t Read(uint64_t offset, void* out, size_t size) const {
    if (sys::Failed(fd_)) return 0;
    const long got = sys::Call(SYS_pread64, fd_, out, size, offset);
    return sys::Failed(got) ? 0 : static_cast<size_t>(got);
  }

  // Those that may hold constants, the likelier ones first.
  [[nodiscard]] std::vector<Elf64_Phdr> ReadOnlySegments() const {
    std::vector<Elf64_Phdr> segments;
    Elf64_Ehdr header;
    if (Read(0, &header, sizeof(header)) != sizeof(header)) return segments;
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return segments;
    for (size_t i = 0; i < std::min<size_t>(header.e_phnum, kMaxSegments); ++i) {
      Elf64_Phdr segment;
      if (Read(header.e_phoff + i * sizeof(segment), &segment, sizeof(segment)) != sizeof(segment))
        break;
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0) segments.push_back(segment);
    }
    std::stable_partition(segments.begin(), segments.end(),
                          [](const Elf64_Phdr& s) { return (s.p_flags & PF_X) == 0; });
    return segments;
  }

 private:
  const long fd_;
};

void AddNew(const std::vector<AllocatorKind>& found, std::vector<AllocatorKind>* all) {
  for (const AllocatorKind kind : found) {
    if (std::find(all->begin(), all->end(), kind) == all->end()) all->push_back(kind);
  }
}

}  // namespace

std::vector<AllocatorKind> AllocatorsNamedIn(std::string_view bytes) {
  std::vector<AllocatorKind> found;
  for (const Text& text : kTexts) {
    if (bytes.find(text.text) != bytes.npos) found.push_back(text.kind);
  }
  return found;
}

const std::vector<AllocatorKind>& AllocatorDetector::HiddenInProgram() {
  if (scanned_) return hidden_;
  scanned_ = true;
  const ProgramFile file;
  size_t budget = kMaxScanBytes;
  std::string piece(kPieceBytes, '\0');
  for (const Elf64_Phdr& segment : file.ReadOnlySegments()) {
    for (uint64_t at = 0; at < segment.p_filesz && budget >= kPieceBytes;) {
      const size_t wanted = std::min<uint64_t>(kPieceBytes, segment.p_filesz - at);
      const size_t got = file.Read(segment.p_offset + at, piece.data(), wanted);
      AddNew(AllocatorsNamedIn(std::string_view(piece).substr(0, got)), &hidden_);
      if (got < wanted || got <= kOverlapBytes) break;
      at += got - kOverlapBytes;
      budget -= got;
    }
  }
  return hidden_;
}

}  // namespace sonde
