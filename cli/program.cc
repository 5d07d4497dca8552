// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

namespace sonde::cli {
namespace {

constexpr size_t kMaxInterpreter = 256;

struct File {
  explicit File(const std::string& path) : fd(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd >= 0) close(fd);
  }
  bool Read(void* out, size_t bytes, uint64_t offset) const {
    return pread(fd, out, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
  }
  const int fd;
};

std::string ReadText(const File& file, uint64_t offset, size_t at_most) {
  std::string text(std::min(at_most, kMaxInterpreter), '\0');
  const ssize_t bytes = pread(file.fd, text.data(), text.size(), static_cast<off_t>(offset));
  text.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
  return text.substr(0, text.find('\0'));
}

ProgramCheck ReadScript(const File& file) {
  const std::string line = ReadText(file, 2, kMaxInterpreter);
  const size_t start = std::min(line.find_first_not_of(" \t"), line.size());
  const size_t end = std::min(line.find_first_of(" \t\n", start), line.size());
  return {ProgramCheck::Verdict::kScript, line.substr(start, end - start)};
}

ProgramCheck OfLoader(const std::string& loader) {
  const bool musl = loader.find("/ld-musl-") != std::string::npos;
  return {musl ? ProgramCheck::Verdict::kMusl : ProgramCheck::Verdict::kDynamic, loader};
}

ProgramCheck ReadElf(const File& file, const Elf64_Ehdr& header) {
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!file.Read(&segment, sizeof segment, header.e_phoff + uint64_t{header.e_phentsize} * i))
      break;
    if (segment.p_type == PT_INTERP)
      return OfLoader(ReadText(file, segment.p_offset, segment.p_filesz));
  }
  return {ProgramCheck::Verdict::kStatic, ""};
}

// Root running a setuid-root program gains nothing by it, so the loader stays normal then.
bool IsPrivileged(const File& file) {
  struct stat info = {};
  if (fstat(file.fd, &info) != 0) return false;
  const bool changes_user = (info.st_mode & S_ISUID) != 0 && info.st_uid != geteuid();
  const bool changes_group = (info.st_mode & S_ISGID) != 0 && info.st_gid != getegid();
  const bool has_capabilities = fgetxattr(file.fd, "security.capability", nullptr, 0) > 0;
  return changes_user || changes_group || (has_capabilities && geteuid() != 0);
}

}  // namespace

ProgramCheck CheckProgram(const std::string& path) {
  const File file(path);
  Elf64_Ehdr header = {};
  if (file.fd < 0) return {};
  const ssize_t bytes = pread(file.fd, &header, sizeof header, 0);
  if (bytes >= 2 && memcmp(&header, "#!", 2) == 0) return ReadScript(file);
  if (bytes < EI_NIDENT || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return {ProgramCheck::Verdict::kNotElf, ""};
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
    return {ProgramCheck::Verdict::kNot64BitX86, ""};
  if (IsPrivileged(file)) return {ProgramCheck::Verdict::kPrivileged, ""};
  return ReadElf(file, header);
}

std::string ExplainProgram(const ProgramCheck& check, const std::string& path) {
  switch (check.verdict) {
    case ProgramCheck::Verdict::kStatic:
      return path +
             " is a static program: the loader ignores LD_PRELOAD here. If it serves Go's "
             "net/http/pprof, start it as it is and use --port";
    case ProgramCheck::Verdict::kMusl:
      return path +
             " is linked with musl, whose loader ends a program that libsonde.so is preloaded "
             "into: "
             "the agent needs glibc";
    case ProgramCheck::Verdict::kNot64BitX86:
      return path + " is not a 64-bit x86 program: libsonde.so cannot be loaded into it";
    case ProgramCheck::Verdict::kPrivileged:
      return path +
             " is setuid, setgid or has file capabilities: the loader drops LD_PRELOAD there. "
             "Start it as the user that it becomes";
    case ProgramCheck::Verdict::kNotElf:
      return path + " is neither an ELF program nor a script that starts with #!";
    case ProgramCheck::Verdict::kUnreadable:
    case ProgramCheck::Verdict::kDynamic:
    case ProgramCheck::Verdict::kScript:
      break;
  }
  return "";
}

}  // namespace sonde::cli
