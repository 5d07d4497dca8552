// SPDX-License-Identifier: Apache-2.0
// Reads a process's memory and its map (its own, unless it is asked for another's) so that a bad
// address is an error and never a fault, and so that no lock is taken that a fork could leave
// locked in the child: through two files of /proc, by raw system calls. Not process_vm_readv, which
// seccomp profiles refuse.
//
// Used by the agent thread, whose descriptors are its own; not thread-safe. Both files stay open:
// they go on answering after the host gave up its privileges, made itself undumpable, or left /proc
// behind by chroot. They show the memory of the process that opened them, so an object of this
// class is of no use in a forked child, and one that a new agent thread inherits must Reopen().
// Up to four descriptors, no memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "collectors/readable_memory.h"

namespace sonde {

class ProcessMemory final : public ReadableMemory {
 public:
  ProcessMemory() { Open(); }
  // Another process, which we may trace: a child of this one. Where that is not permitted nothing
  // can be read.
  explicit ProcessMemory(int pid);
  ~ProcessMemory();
  ProcessMemory(const ProcessMemory&) = delete;
  ProcessMemory& operator=(const ProcessMemory&) = delete;

  // Opens what is not open yet. Cold path only.
  void Open();

  // For a new agent thread: the descriptors were those of the one before. Cold path only.
  void Reopen();

  bool memory_is_open() const { return memory_fd_ >= 0 || pipe_fds_[0] >= 0; }
  bool maps_is_open() const { return maps_fd_ >= 0; }

  // False: not all of it is mapped, or the memory is not open. Cold path only.
  [[nodiscard]] bool Read(uint64_t address, void* out, size_t size) const override;

  // Text of /proc/self/maps from `offset` on: how much there is, at most `size`; 0 at its end;
  // negative if it cannot be read. Cold path only.
  [[nodiscard]] long ReadMaps(uint64_t offset, char* out, size_t size) const;

 private:
  bool ReadThroughPipe(uint64_t address, char* out, size_t size) const;

  long memory_fd_ = -1;
  int pipe_fds_[2] = {-1, -1};
  long maps_fd_ = -1;
};

}  // namespace sonde
