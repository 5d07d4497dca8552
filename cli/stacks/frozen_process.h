// SPDX-License-Identifier: Apache-2.0
// A process at one moment, without an agent in it: its threads with their registers, its mappings,
// and memory that does not move. Made of a running process (stop_process.h) or of a core file
// (core_file.h); read by thread_stacks.h. Plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "collectors/readable_memory.h"
#include "collectors/thread_reader.h"
#include "profile/mappings.h"

struct user_regs_struct;

namespace sonde::cli {

// As DWARF numbers them: rax rdx rcx rbx rsi rdi rbp rsp r8 … r15 rip.
inline constexpr size_t kRegisters = 17;
inline constexpr size_t kRegisterRsp = 7;
inline constexpr size_t kRegisterRip = 16;
using Registers = std::array<uint64_t, kRegisters>;

struct FrozenThread {
  ThreadRecord record;  // all but its stack
  bool has_registers = false;
  Registers registers{};
};

class FrozenMemory : public ReadableMemory {
 public:
  virtual ~FrozenMemory() = default;
};

struct FrozenProcess {
  int pid = 0;
  std::string name;
  std::vector<FrozenThread> threads;  // by tid
  std::vector<Mapping> mappings;      // executable ones, the main program first
  std::string root;  // where the files of its mappings are found; "": as they are named
  std::unique_ptr<FrozenMemory> memory;
  std::vector<std::string> problems;  // sentences: what is missing
};

// The general registers as ptrace and core files have them: struct user_regs_struct.
Registers RegistersOf(const user_regs_struct& user);

// Where a thread with these registers stood: in which system call, with which arguments.
WhereItWaits PlaceOf(const user_regs_struct& user);

}  // namespace sonde::cli
