// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/remote_unwinder.h"

#include <elf.h>
#include <libunwind.h>
#include <stdlib.h>

#include <algorithm>
#include <cstring>

// Exported by libunwind, though no header of it says so: the binary search over .eh_frame_hdr.
extern "C" int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t space, unw_word_t ip,
                                                  unw_dyn_info_t* table, unw_proc_info_t* out,
                                                  int need_unwind_info, void* argument);

// The one thing that libunwind's engine for other processes takes from libunwind.a: how to go on
// running in a frame. Nobody asks for that here, and libunwind.a would bring a second
// _Unwind_RaiseException with it, for our own exceptions.
extern "C" int _Ux86_64_setcontext(const void* context);
extern "C" int _Ux86_64_setcontext(const void*) { abort(); }

namespace sonde::cli {
namespace {

constexpr size_t kMaxProgramHeaders = 64;
constexpr uint64_t kMaxEntries = uint64_t{1} << 24;
// DWARF's encodings of pointers, as ld writes them into .eh_frame_hdr.
constexpr uint8_t kUnsigned4 = 0x03;      // DW_EH_PE_udata4
constexpr uint8_t kRelativeTable = 0x3b;  // DW_EH_PE_datarel | DW_EH_PE_sdata4

struct EhFrameHeader {
  uint8_t version;
  uint8_t frame_encoding;
  uint8_t count_encoding;
  uint8_t table_encoding;
  int32_t frame;
  uint32_t count;
};

RemoteUnwinder::Table TableAt(const ReadableMemory& memory, uint64_t address) {
  EhFrameHeader header{};
  if (!memory.ReadObject(address, &header)) return {};
  const bool known = header.version == 1 && header.count_encoding == kUnsigned4 &&
                     header.table_encoding == kRelativeTable;
  if (!known || header.count == 0 || header.count > kMaxEntries) return {};
  return {address, address + sizeof(header), header.count};
}

// From the program headers that lie in memory with the object.
RemoteUnwinder::Table FindTable(const ReadableMemory& memory, uint64_t image) {
  Elf64_Ehdr header{};
  if (image == 0 || !memory.ReadObject(image, &header)) return {};
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
  uint64_t bias = image;
  uint64_t found = 0;
  for (size_t i = 0; i < std::min<size_t>(header.e_phnum, kMaxProgramHeaders); ++i) {
    Elf64_Phdr program{};
    if (!memory.ReadObject(image + header.e_phoff + i * sizeof(program), &program)) return {};
    if (program.p_type == PT_LOAD && program.p_offset == 0) bias = image - program.p_vaddr;
    if (program.p_type == PT_GNU_EH_FRAME) found = program.p_vaddr;
  }
  return found == 0 ? RemoteUnwinder::Table() : TableAt(memory, bias + found);
}

}  // namespace

// libunwind calls these; `argument` is the RemoteUnwinder.
struct UnwindAccess {
  static RemoteUnwinder* Of(void* argument) { return static_cast<RemoteUnwinder*>(argument); }

  static int FindProcInfo(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* out, int need,
                          void* argument) {
    RemoteUnwinder* const self = Of(argument);
    const Mapping* mapping = self->MappingAt(ip);
    self->unknown_pc_ = ip;
    if (mapping == nullptr) return -UNW_ENOINFO;
    const RemoteUnwinder::Table& table = self->TableOf(*mapping);
    if (table.count == 0) return -UNW_ENOINFO;
    unw_dyn_info_t info{};
    info.format = UNW_INFO_FORMAT_REMOTE_TABLE;
    info.start_ip = mapping->start;
    info.end_ip = mapping->limit;
    info.u.rti.segbase = table.header;
    info.u.rti.table_data = table.entries;
    info.u.rti.table_len = table.count;  // entries of eight bytes, so this is in words
    const int result = _Ux86_64_dwarf_search_unwind_table(space, ip, &info, out, need, argument);
    if (result == 0) self->unknown_pc_ = 0;
    return result;
  }

  static int AccessMemory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write,
                          void* argument) {
    if (write != 0) return -UNW_EINVAL;
    return Of(argument)->ReadWord(address, value) ? 0 : -UNW_EINVAL;
  }

  static int AccessRegister(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write,
                            void* argument) {
    if (write != 0 || number < 0 || static_cast<size_t>(number) >= kRegisters) return -UNW_EBADREG;
    *value = (*Of(argument)->registers_)[static_cast<size_t>(number)];
    return 0;
  }

  static void PutUnwindInfo(unw_addr_space_t, unw_proc_info_t*, void*) {}
  static int NoDynamicCode(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }
  static int NoFloat(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) {
    return -UNW_EBADREG;
  }
  static int NoResume(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
  static int NoName(unw_addr_space_t, unw_word_t, char*, size_t, unw_word_t*, void*) {
    return -UNW_ENOINFO;
  }
};

RemoteUnwinder::RemoteUnwinder(const FrozenProcess& process)
    : process_(process), mappings_(process.mappings) {
  std::sort(mappings_.begin(), mappings_.end(),
            [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
  static unw_accessors_t accessors = {UnwindAccess::FindProcInfo,   UnwindAccess::PutUnwindInfo,
                                      UnwindAccess::NoDynamicCode,  UnwindAccess::AccessMemory,
                                      UnwindAccess::AccessRegister, UnwindAccess::NoFloat,
                                      UnwindAccess::NoResume,       UnwindAccess::NoName};
  space_ = unw_create_addr_space(&accessors, 0);
  if (space_ == nullptr) throw std::bad_alloc();
  unw_set_caching_policy(static_cast<unw_addr_space_t>(space_), UNW_CACHE_GLOBAL);
}

RemoteUnwinder::~RemoteUnwinder() { unw_destroy_addr_space(static_cast<unw_addr_space_t>(space_)); }

const RemoteUnwinder::Page& RemoteUnwinder::PageAt(uint64_t address) {
  const auto known = pages_.find(address);
  if (known != pages_.end()) return known->second;
  if (pages_.size() >= kMaxPages) pages_.clear();
  Page& page = pages_[address];
  page.readable = process_.memory->Read(address, page.bytes, kPageSize);
  return page;
}

// A page of which only a part can be read (the end of what was copied of a stack) is not kept.
bool RemoteUnwinder::ReadWord(uint64_t address, uint64_t* value) {
  const uint64_t in_page = address % kPageSize;
  if (in_page + sizeof(*value) <= kPageSize) {
    const Page& page = PageAt(address - in_page);
    if (page.readable) {
      memcpy(value, page.bytes + in_page, sizeof(*value));
      return true;
    }
  }
  return process_.memory->ReadObject(address, value);
}

const Mapping* RemoteUnwinder::MappingAt(uint64_t address) const {
  const auto after =
      std::upper_bound(mappings_.begin(), mappings_.end(), address,
                       [](uint64_t at, const Mapping& mapping) { return at < mapping.start; });
  if (after == mappings_.begin() || !std::prev(after)->Contains(address)) return nullptr;
  return &*std::prev(after);
}

const RemoteUnwinder::Table& RemoteUnwinder::TableOf(const Mapping& mapping) {
  const uint64_t image = mapping.path == "[vdso]" ? mapping.start : mapping.image_start;
  const auto [place, is_new] = tables_.try_emplace(image);
  if (is_new) place->second = FindTable(*process_.memory, image);
  return place->second;
}

RemoteUnwinder::Stack RemoteUnwinder::Walk(const Registers& registers) {
  Stack stack;
  registers_ = &registers;
  stack.frames.push_back(registers[kRegisterRip]);
  unw_cursor_t cursor;
  if (unw_init_remote(&cursor, static_cast<unw_addr_space_t>(space_), this) != 0) return stack;
  while (true) {
    if (stack.frames.size() >= kMaxFrames) {
      stack.end = StackEnd::kDepthLimit;
      return stack;
    }
    const bool interrupted = unw_is_signal_frame(&cursor) > 0;
    unknown_pc_ = 0;
    const int step = unw_step(&cursor);
    unw_word_t pc = 0;
    if (step > 0) unw_get_reg(&cursor, UNW_REG_IP, &pc);
    if (pc != 0) {
      // Behind a signal the pc is no return address; one more makes it look like one.
      stack.frames.push_back(pc + (interrupted ? 1 : 0));
      continue;
    }
    stack.end = step < 0           ? StackEnd::kUnreadable
                : unknown_pc_ != 0 ? StackEnd::kNoUnwindData
                                   : StackEnd::kRoot;
    return stack;
  }
}

}  // namespace sonde::cli
