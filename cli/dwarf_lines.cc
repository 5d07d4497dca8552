// SPDX-License-Identifier: Apache-2.0
#include "cli/dwarf_lines.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "cli/dwarf_library.h"

namespace sonde::cli {
namespace {

constexpr int kMaxNesting = 200;

// The functions around one address: outermost first. The dies stay valid as long as the object.
using Chain = std::vector<Dwarf_Die>;

// One compilation unit: finds the functions of all its addresses in one walk over its tree.
// (libdw's own dwarf_getscopes walks the unit once an address: minutes for a large program.)
class UnitWalk {
 public:
  UnitWalk(const DwarfLibrary& dw, std::span<const uint64_t> addresses)
      : dw_(dw), addresses_(addresses), chains_(addresses.size()) {}

  const std::vector<Chain>& Run(Dwarf_Die* unit) {
    Children(unit, 0);
    return chains_;
  }

 private:
  static bool IsFunction(int tag) {
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine;
  }

  // What may hold code, or holds what does: Rust puts functions into namespaces.
  static bool MayHoldCode(int tag) {
    switch (tag) {
      case DW_TAG_subprogram:
      case DW_TAG_inlined_subroutine:
      case DW_TAG_lexical_block:
      case DW_TAG_try_block:
      case DW_TAG_catch_block:
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_structure_type:
      case DW_TAG_class_type:
      case DW_TAG_union_type:
      case DW_TAG_enumeration_type:
        return true;
      default:
        return false;
    }
  }

  void Children(Dwarf_Die* parent, int depth) {
    Dwarf_Die die;
    if (depth > kMaxNesting || dw_.dwarf_child(parent, &die) != 0) return;
    do {
      if (MayHoldCode(dw_.dwarf_tag(&die))) Visit(&die, depth);
    } while (dw_.dwarf_siblingof(&die, &die) == 0);
  }

  void Visit(Dwarf_Die* die, int depth) {
    const bool has_ranges = EnterRanges(die);
    const int tag = dw_.dwarf_tag(die);
    const bool is_code = IsFunction(tag) || tag == DW_TAG_lexical_block ||
                         tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
    // Code without any of our addresses; an abstract function has no ranges, and no code in it.
    if (is_code && !has_ranges) return;
    if (dw_.dwarf_haschildren(die) == 1) Children(die, depth + 1);
  }

  // Notes `die` for the addresses that it covers; false when there are none.
  bool EnterRanges(Dwarf_Die* die) {
    if (!MayHaveRanges(dw_.dwarf_tag(die))) return false;
    bool any = false;
    ptrdiff_t offset = 0;
    Dwarf_Addr base = 0;
    Dwarf_Addr begin = 0;
    Dwarf_Addr end = 0;
    while ((offset = dw_.dwarf_ranges(die, offset, &base, &begin, &end)) > 0) {
      auto at = std::lower_bound(addresses_.begin(), addresses_.end(), begin);
      for (; at != addresses_.end() && *at < end; ++at) {
        any = true;
        Note(die, &chains_[static_cast<size_t>(at - addresses_.begin())]);
      }
    }
    return any;
  }

  // Assembly has several entries with the same range, one a name: the first counts.
  void Note(Dwarf_Die* die, Chain* chain) const {
    const int tag = dw_.dwarf_tag(die);
    if (!IsFunction(tag) || (tag == DW_TAG_subprogram && !chain->empty())) return;
    chain->push_back(*die);
  }

  static bool MayHaveRanges(int tag) {
    return IsFunction(tag) || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
           tag == DW_TAG_catch_block;
  }

  const DwarfLibrary& dw_;
  const std::span<const uint64_t> addresses_;
  std::vector<Chain> chains_;
};

class DwarfObject {
 public:
  explicit DwarfObject(const DwarfLibrary& dw) : dw_(dw) {}
  ~DwarfObject() {
    if (dwfl_ != nullptr) dw_.dwfl_end(dwfl_);
  }
  DwarfObject(const DwarfObject&) = delete;
  DwarfObject& operator=(const DwarfObject&) = delete;

  // Empty, or why it has no DWARF.
  std::string Open(const std::string& path, const std::string& debug_path) {
    debug_path_ = debug_path;
    debug_path_text_ = debug_path_.data();
    callbacks_.find_debuginfo = dw_.dwfl_standard_find_debuginfo;
    callbacks_.section_address = dw_.dwfl_offline_section_address;
    callbacks_.debuginfo_path = &debug_path_text_;
    dwfl_ = dw_.dwfl_begin(&callbacks_);
    if (dwfl_ == nullptr) return Problem();
    dw_.dwfl_report_begin(dwfl_);
    Dwfl_Module* module = dw_.dwfl_report_offline(dwfl_, path.c_str(), path.c_str(), -1);
    dw_.dwfl_report_end(dwfl_, nullptr, nullptr);
    if (module == nullptr) return Problem();
    Dwarf_Addr dwarf_bias = 0;
    GElf_Addr elf_bias = 0;
    dwarf_ = dw_.dwfl_module_getdwarf(module, &dwarf_bias);
    if (dwarf_ == nullptr) return "no debug information";
    if (dw_.dwfl_module_getelf(module, &elf_bias) == nullptr) return Problem();
    shift_ = elf_bias - dwarf_bias;
    return "";
  }

  // Walks over the units; those whose ranges hold none of the addresses cost next to nothing.
  void LookUp(std::vector<uint64_t> addresses, const FoundLines& found) {
    for (uint64_t& address : addresses) address += shift_;
    Dwarf_Off offset = 0;
    Dwarf_Off next = 0;
    size_t header = 0;
    while (dw_.dwarf_nextcu(dwarf_, offset, &next, &header, nullptr, nullptr, nullptr) == 0) {
      Dwarf_Die unit;
      if (dw_.dwarf_offdie(dwarf_, offset + header, &unit) != nullptr)
        LookUpUnit(&unit, addresses, found);
      offset = next;
    }
  }

 private:
  std::string Problem() const {
    const char* message = dw_.dwfl_errmsg(dw_.dwfl_errno());
    return message == nullptr ? "unreadable" : message;
  }

  // Indexes of the addresses that the unit covers, in their order.
  std::vector<size_t> AddressesOf(Dwarf_Die* unit, const std::vector<uint64_t>& addresses) const {
    std::vector<size_t> indexes;
    ptrdiff_t offset = 0;
    Dwarf_Addr base = 0;
    Dwarf_Addr begin = 0;
    Dwarf_Addr end = 0;
    while ((offset = dw_.dwarf_ranges(unit, offset, &base, &begin, &end)) > 0) {
      auto at = std::lower_bound(addresses.begin(), addresses.end(), begin);
      for (; at != addresses.end() && *at < end; ++at)
        indexes.push_back(static_cast<size_t>(at - addresses.begin()));
    }
    std::sort(indexes.begin(), indexes.end());
    indexes.erase(std::unique(indexes.begin(), indexes.end()), indexes.end());
    return indexes;
  }

  void LookUpUnit(Dwarf_Die* unit, const std::vector<uint64_t>& addresses,
                  const FoundLines& found) const {
    const std::vector<size_t> indexes = AddressesOf(unit, addresses);
    if (indexes.empty()) return;
    std::vector<uint64_t> inside;
    inside.reserve(indexes.size());
    for (const size_t index : indexes) inside.push_back(addresses[index]);
    UnitWalk walk(dw_, inside);
    const std::vector<Chain>& chains = walk.Run(unit);
    for (size_t i = 0; i < indexes.size(); ++i) {
      const std::vector<SourceFrame> frames = FramesAt(unit, inside[i], chains[i]);
      if (!frames.empty()) found(indexes[i], frames);
    }
  }

  // The innermost frame is where the line table says; each caller is where the inlined call stood.
  std::vector<SourceFrame> FramesAt(Dwarf_Die* unit, uint64_t address, const Chain& chain) const {
    std::vector<SourceFrame> frames;
    std::string file;
    int64_t line = 0;
    if (Dwarf_Line* row = dw_.dwarf_getsrc_die(unit, address); row != nullptr) {
      const char* source = dw_.dwarf_linesrc(row, nullptr, nullptr);
      int number = 0;
      if (source != nullptr) file = source;
      if (dw_.dwarf_lineno(row, &number) == 0) line = number;
    }
    for (auto die = chain.rbegin(); die != chain.rend(); ++die) {
      Dwarf_Die function = *die;
      SourceFrame frame = {NameOf(&function), file, line, StartLine(&function)};
      const bool same = !frames.empty() && frames.back().function == frame.function;
      if (!same || !IsSplitOff(&*(die - 1), &function)) frames.push_back(std::move(frame));
      file = CallFile(unit, &function);
      line = Number(&function, DW_AT_call_line);
    }
    if (chain.empty() && line > 0) frames.push_back({"", file, line, 0});
    return frames;
  }

  // A function that the compiler split, and then inlined the rest of it where it had been: "inlined
  // into itself, called where it is declared". That is one call, not two.
  bool IsSplitOff(const Dwarf_Die* inner, Dwarf_Die* function) const {
    Dwarf_Die call = *inner;
    return Number(&call, DW_AT_call_line) == Number(function, DW_AT_decl_line) &&
           Number(&call, DW_AT_call_column) == Number(function, DW_AT_decl_column);
  }

  // Inside glibc a function has a second, hidden name; the first one is what everybody knows.
  static bool IsHiddenAlias(std::string_view name) { return name.starts_with("__GI_"); }

  std::string NameOf(Dwarf_Die* function) const {
    for (const unsigned int name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
      Dwarf_Attribute attribute;
      if (dw_.dwarf_attr_integrate(function, name, &attribute) == nullptr) continue;
      const char* text = dw_.dwarf_formstring(&attribute);
      if (text != nullptr && !IsHiddenAlias(text)) return text;
    }
    const char* text = dw_.dwarf_diename(function);
    return text == nullptr ? "" : text;
  }

  int64_t StartLine(Dwarf_Die* function) const {
    int line = 0;
    return dw_.dwarf_decl_line(function, &line) == 0 ? line : 0;
  }

  int64_t Number(Dwarf_Die* die, unsigned int name) const {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dw_.dwarf_attr_integrate(die, name, &attribute) == nullptr) return 0;
    return dw_.dwarf_formudata(&attribute, &value) == 0 ? static_cast<int64_t>(value) : 0;
  }

  std::string CallFile(Dwarf_Die* unit, Dwarf_Die* die) const {
    Dwarf_Files* files = nullptr;
    size_t count = 0;
    const auto index = static_cast<size_t>(Number(die, DW_AT_call_file));
    if (dw_.dwarf_getsrcfiles(unit, &files, &count) != 0 || index >= count) return "";
    const char* source = dw_.dwarf_filesrc(files, index, nullptr, nullptr);
    return source == nullptr ? "" : source;
  }

  const DwarfLibrary& dw_;
  Dwfl_Callbacks callbacks_ = {};
  std::string debug_path_;
  char* debug_path_text_ = nullptr;
  Dwfl* dwfl_ = nullptr;
  Dwarf* dwarf_ = nullptr;
  uint64_t shift_ = 0;
};

}  // namespace

std::string LookUpLines(const std::string& object_path, const std::string& debug_path,
                        const std::vector<uint64_t>& addresses, const FoundLines& found) {
  const DwarfLibrary* dw = LoadDwarfLibrary();
  if (dw == nullptr) return "libdw.so.1 is not installed (Debian: libdw1)";
  DwarfObject object(*dw);
  std::string problem = object.Open(object_path, debug_path);
  if (problem.empty()) object.LookUp(addresses, found);
  return problem;
}

}  // namespace sonde::cli
