// SPDX-License-Identifier: Apache-2.0
// The functions of elfutils' libdw that are used, loaded when the first profile wants lines: a
// machine without the library gets everything but lines. Used by dwarf_lines only, in its worker
// process.
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

namespace sonde::cli {

#define SONDE_LIBDW_FUNCTIONS(X)  \
  X(dwarf_attr_integrate)         \
  X(dwarf_child)                  \
  X(dwarf_decl_line)              \
  X(dwarf_diename)                \
  X(dwarf_filesrc)                \
  X(dwarf_formstring)             \
  X(dwarf_formudata)              \
  X(dwarf_getsrc_die)             \
  X(dwarf_getsrcfiles)            \
  X(dwarf_haschildren)            \
  X(dwarf_lineno)                 \
  X(dwarf_linesrc)                \
  X(dwarf_nextcu)                 \
  X(dwarf_offdie)                 \
  X(dwarf_ranges)                 \
  X(dwarf_siblingof)              \
  X(dwarf_tag)                    \
  X(dwfl_begin)                   \
  X(dwfl_end)                     \
  X(dwfl_errmsg)                  \
  X(dwfl_errno)                   \
  X(dwfl_module_getdwarf)         \
  X(dwfl_module_getelf)           \
  X(dwfl_offline_section_address) \
  X(dwfl_report_begin)            \
  X(dwfl_report_end)              \
  X(dwfl_report_offline)          \
  X(dwfl_standard_find_debuginfo)

struct DwarfLibrary {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration's name cannot stand in them.
#define SONDE_DECLARE(name) decltype(&::name) name = nullptr;
  SONDE_LIBDW_FUNCTIONS(SONDE_DECLARE)
#undef SONDE_DECLARE
};

// nullptr when libdw.so.1 is not there or lacks a function; loaded once.
const DwarfLibrary* LoadDwarfLibrary();

}  // namespace sonde::cli
