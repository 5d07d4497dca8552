// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/core_file.h"

#include <elf.h>
#include <signal.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include <algorithm>
#include <functional>
#include <set>

#include "cli/outcome.h"
#include "cli/render.h"
#include "cli/stacks/core_memory.h"
#include "profile/elf_file.h"
#include "profile/hex.h"

namespace sonde::cli {
namespace {

constexpr size_t kMaxSegments = size_t{1} << 20;
constexpr size_t kMaxNotes = size_t{256} << 20;  // bytes; a thread has about 3 KB
constexpr size_t kMaxNamedProblems = 8;

std::string KindOf(const Elf64_Ehdr& header) {
  switch (header.e_type) {
    case ET_EXEC:
    case ET_DYN:
      return "it is a program or a library";
    case ET_REL:
      return "it is an object file";
    default:
      return "its ELF type is " + std::to_string(header.e_type);
  }
}

class CoreReader {
 public:
  explicit CoreReader(const std::string& path) : path_(path) {
    auto source = OpenFile(path);
    if (!source) throw Failure(source.error());
    memory_ = std::make_unique<CoreMemory>(std::move(*source));
  }

  CoreFile Read() {
    ReadHeader();
    ReadSegments();
    if (process().threads.empty()) throw Damaged("it holds no thread" + Truncation());
    NameFiles();
    MakeMappings();
    TrustFiles();
    std::sort(process().threads.begin(), process().threads.end(),
              [](const auto& a, const auto& b) { return a.record.tid < b.record.tid; });
    process().memory = std::move(memory_);
    return std::move(core_);
  }

 private:
  struct MappedFile {
    uint64_t start;
    uint64_t limit;
    uint64_t offset;
    std::string path;
  };

  FrozenProcess& process() { return core_.process; }
  [[nodiscard]] CliError NoCore(const std::string& why) const {
    return Failure(path_ + " is no core file: expected an ELF core of x86-64, but " + why,
                   "to take one of a running process: gcore PID; or ask it directly: sonde threads "
                   "--pid PID");
  }
  [[nodiscard]] CliError Damaged(const std::string& why) const {
    return Failure(path_ + ": the core cannot be used: " + why);
  }
  [[nodiscard]] std::string Truncation() const {
    return missing_bytes_ == 0 ? ""
                               : "; it is truncated, " +
                                     Bytes(static_cast<double>(missing_bytes_)) + " are missing";
  }

  void ReadHeader() {
    const ByteSource& core = memory_->core();
    if (core.size() == 0) throw NoCore("it is empty");
    if (!core.ReadExact(0, &header_, sizeof(header_))) throw NoCore("it is too short");
    if (memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0)
      throw NoCore("it does not begin as ELF does (compressed? unpack it first)");
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_machine != EM_X86_64)
      throw NoCore("it is of another machine (ELF machine " + std::to_string(header_.e_machine) +
                   ")");
    if (header_.e_type != ET_CORE) throw NoCore(KindOf(header_));
    segments_ = header_.e_phnum;
    if (header_.e_phnum == PN_XNUM) {  // too many for the field: they are in the first section
      Elf64_Shdr section{};
      if (!core.ReadExact(header_.e_shoff, &section, sizeof(section)))
        throw Damaged("its section header is missing");
      segments_ = section.sh_info;
    }
    if (segments_ > kMaxSegments) throw Damaged(Thousands(segments_) + " segments are too many");
  }

  void ReadSegments() {
    std::vector<Elf64_Phdr> programs(segments_);
    if (!memory_->core().ReadExact(header_.e_phoff, programs.data(),
                                   programs.size() * sizeof(Elf64_Phdr)))
      throw Damaged("it ends within its program headers");
    for (const Elf64_Phdr& program : programs) NoteMissing(program);
    for (const Elf64_Phdr& program : programs) {
      if (program.p_type == PT_NOTE) ReadNotes(program);
      if (program.p_type == PT_LOAD) AddSegment(program);
    }
    if (missing_bytes_ > 0)
      process().problems.push_back(
          "the core is truncated: " + Bytes(static_cast<double>(missing_bytes_)) +
          " are missing; stacks in there are cut (ulimit -c, disk full?)");
  }

  // Bytes that the core says it has, and has not.
  [[nodiscard]] uint64_t Present(const Elf64_Phdr& program) const {
    const uint64_t size = memory_->core().size();
    return program.p_offset >= size ? 0 : std::min(program.p_filesz, size - program.p_offset);
  }
  void NoteMissing(const Elf64_Phdr& program) {
    missing_bytes_ += program.p_filesz - Present(program);
  }

  void AddSegment(const Elf64_Phdr& program) {
    if (program.p_memsz == 0 || program.p_vaddr + program.p_memsz < program.p_vaddr) return;
    CoreMemory::Segment segment;
    segment.limit = program.p_vaddr + program.p_memsz;
    segment.core_offset = program.p_offset;
    segment.core_bytes = std::min(Present(program), program.p_memsz);
    segment.executable = (program.p_flags & PF_X) != 0;
    segment.writable = (program.p_flags & PF_W) != 0;
    memory_->Add(program.p_vaddr, std::move(segment));
  }

  void ReadNotes(const Elf64_Phdr& program) {
    std::string notes(std::min<uint64_t>(Present(program), kMaxNotes), '\0');
    if (!memory_->core().ReadExact(program.p_offset, notes.data(), notes.size())) return;
    const auto aligned = [](uint64_t size) { return (size + 3) & ~uint64_t{3}; };
    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
      Elf64_Nhdr note;
      memcpy(&note, notes.data() + at, sizeof(note));
      const uint64_t text = at + sizeof(note) + aligned(note.n_namesz);
      if (text > notes.size() || note.n_descsz > notes.size() - text) return;
      TakeNote(note.n_type, std::string_view(notes).substr(text, note.n_descsz));
      at = text + aligned(note.n_descsz);
    }
  }

  void TakeNote(uint32_t type, std::string_view text) {
    if (type == NT_PRSTATUS) TakeThread(text);
    if (type == NT_PRPSINFO) TakeProcess(text);
    if (type == NT_FILE) TakeFiles(text);
    if (type == NT_AUXV) TakeAuxiliary(text);
  }

  void TakeThread(std::string_view text) {
    prstatus_t status;
    user_regs_struct user;
    static_assert(sizeof(user) == sizeof(status.pr_reg));
    if (text.size() < sizeof(status)) return;
    memcpy(&status, text.data(), sizeof(status));
    memcpy(&user, &status.pr_reg, sizeof(user));
    FrozenThread thread;
    thread.has_registers = true;
    thread.registers = RegistersOf(user);
    thread.record.tid = status.pr_pid;
    thread.record.where = PlaceOf(user);
    const bool waits = thread.record.where.kind == WhereItWaits::Kind::kSystemCall;
    thread.record.state = waits ? 'S' : 'R';
    const timeval used[] = {{status.pr_utime.tv_sec, status.pr_utime.tv_usec},
                            {status.pr_stime.tv_sec, status.pr_stime.tv_usec}};
    for (const timeval& time : used)
      thread.record.cpu_ns += static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
                              static_cast<uint64_t>(time.tv_usec) * 1000;
    // The first thread is the one that died of it.
    if (process().threads.empty() && status.pr_cursig != 0) {
      const char* name = sigabbrev_np(status.pr_cursig);
      core_.cause = (name != nullptr ? "SIG" + std::string(name)
                                     : "signal " + std::to_string(status.pr_cursig)) +
                    " in tid " + std::to_string(status.pr_pid);
    }
    process().threads.push_back(std::move(thread));
  }

  void TakeProcess(std::string_view text) {
    prpsinfo_t info;
    if (text.size() < sizeof(info)) return;
    memcpy(&info, text.data(), sizeof(info));
    process().pid = info.pr_pid;
    process().name.assign(info.pr_fname, strnlen(info.pr_fname, sizeof(info.pr_fname)));
  }

  // Count and page size, then three words a file, then their names.
  void TakeFiles(std::string_view text) {
    uint64_t head[2];
    if (text.size() < sizeof(head)) return;
    memcpy(head, text.data(), sizeof(head));
    uint64_t words[3];
    if (head[0] > (text.size() - sizeof(head)) / sizeof(words)) return;
    std::string_view names = text.substr(sizeof(head) + head[0] * sizeof(words));
    for (uint64_t i = 0; i < head[0]; ++i) {
      memcpy(words, text.data() + sizeof(head) + i * sizeof(words), sizeof(words));
      const size_t end = names.find('\0');
      if (end == names.npos) return;
      files_.push_back({words[0], words[1], words[2] * head[1], std::string(names.substr(0, end))});
      names.remove_prefix(end + 1);
    }
  }

  void TakeAuxiliary(std::string_view text) {
    Elf64_auxv_t entry;
    for (; text.size() >= sizeof(entry); text.remove_prefix(sizeof(entry))) {
      memcpy(&entry, text.data(), sizeof(entry));
      if (entry.a_type == AT_SYSINFO_EHDR) vdso_ = entry.a_un.a_val;
      if (entry.a_type == AT_PHDR) program_headers_ = entry.a_un.a_val;
    }
  }

  void NameFiles() {
    auto& segments = memory_->segments();
    for (const MappedFile& file : files_) {
      AddUndumped(file);
      for (auto at = segments.lower_bound(file.start);
           at != segments.end() && at->first < file.limit; ++at) {
        at->second.path = file.path;
        at->second.file_offset = file.offset + (at->first - file.start);
      }
    }
  }

  // gcore leaves out what a file has as well: code, mostly.
  void AddUndumped(const MappedFile& file) {
    const auto& segments = memory_->segments();
    const auto next = segments.lower_bound(file.start);
    const bool covered = (next != segments.end() && next->first < file.limit) ||
                         (next != segments.begin() && std::prev(next)->second.limit > file.start);
    if (covered || file.start >= file.limit) return;
    CoreMemory::Segment segment;
    segment.limit = file.limit;
    segment.executable = true;
    memory_->Add(file.start, std::move(segment));
  }

  // In the words of /proc/PID/maps, which the rest of Sonde reads.
  void MakeMappings() {
    std::map<std::string, size_t> inodes;
    std::string maps;
    for (const auto& [start, segment] : memory_->segments()) {
      const size_t inode = segment.path.empty()
                               ? 0
                               : inodes.try_emplace(segment.path, inodes.size() + 1).first->second;
      maps += Hex(start) + "-" + Hex(segment.limit) + (segment.writable ? " rw" : " r-") +
              (segment.executable ? "xp " : "-p ") + Hex(segment.file_offset) + " 00:01 " +
              std::to_string(inode) + " " + (start == vdso_ ? "[vdso]" : segment.path) + "\n";
    }
    process().mappings = ParseMaps(maps).mappings;
    MoveMainFirst(program_headers_, &process().mappings);
    SetOwner(process().pid, &process().mappings);
    const CoreMemory* memory = memory_.get();
    AddBuildIds([memory](uint64_t address, void* out,
                         size_t size) { return memory->ReadDumped(address, out, size); },
                &process().mappings);
  }

  // A file counts when it has the build id that the core has.
  void TrustFiles() {
    std::set<std::string> seen;
    size_t left_out = 0;
    for (const Mapping& mapping : process().mappings) {
      if (!mapping.IsFile() || !seen.insert(mapping.path).second) continue;
      const std::string problem = TrustFile(mapping);
      if (problem.empty()) continue;
      if (process().problems.size() < kMaxNamedProblems)
        process().problems.push_back(problem);
      else
        ++left_out;
    }
    if (left_out > 0)
      process().problems.push_back(std::to_string(left_out) + " more files are missing or others");
  }

  std::string TrustFile(const Mapping& mapping) {
    const std::string cut = "; stacks through it may be cut, and have no names";
    auto source = OpenFile(mapping.path);
    if (!source || mapping.deleted) return mapping.path + " is not here" + cut;
    auto elf = ElfFile::Open(std::move(*source));
    if (!elf) return mapping.path + ": " + elf.error() + cut;
    const std::string& id = (*elf)->build_id();
    if (!mapping.build_id.empty() && id != mapping.build_id) {
      return mapping.path + " is another build (" + id.substr(0, 12) + ") than the core's (" +
             mapping.build_id.substr(0, 12) + ")" + cut;
    }
    auto again = OpenFile(mapping.path);
    if (again) memory_->Trust(mapping.path, std::move(*again));
    return "";
  }

  const std::string path_;
  CoreFile core_;
  std::unique_ptr<CoreMemory> memory_;
  Elf64_Ehdr header_{};
  size_t segments_ = 0;
  uint64_t missing_bytes_ = 0;
  std::vector<MappedFile> files_;
  uint64_t vdso_ = 0;
  uint64_t program_headers_ = 0;
};

}  // namespace

CoreFile OpenCore(const std::string& path) { return CoreReader(path).Read(); }

}  // namespace sonde::cli
