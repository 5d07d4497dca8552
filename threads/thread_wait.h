// SPDX-License-Identifier: Apache-2.0
// Says in words what a thread waits for: the system call's main argument, looked up. Not
// thread-safe. Memory: one text a descriptor and dump.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "collectors/lock_words.h"
#include "collectors/readable_memory.h"
#include "collectors/task_files.h"
#include "collectors/thread_reader.h"

namespace sonde {

class ThreadWaits {
 public:
  // All outlive it. `files` may be null: descriptors then have no names. `pid` is whose sockets are
  // looked up; 0: this process's.
  ThreadWaits(const std::vector<ThreadRecord>& threads, const TaskFiles* files,
              const ReadableMemory& memory, int pid = 0);

  // "fd 5: socket tcp 127.0.0.1:6379 listening", "mutex 0x7f… held by tid 12 (worker)"; empty when
  // the call says nothing. `functions`: names of the first frames, leaf first.
  std::string Describe(const ThreadRecord& thread, const std::vector<std::string_view>& functions);

 private:
  std::string Fd(int tid, uint64_t fd);
  std::string Futex(const ThreadRecord& thread, const std::vector<std::string_view>& functions);
  std::string PollSet(const ThreadRecord& thread);
  std::string SelectSet(const ThreadRecord& thread);
  std::string Several(int tid, const std::vector<int>& fds, size_t in_all);
  std::string Sleep(uint64_t address, bool until) const;
  const std::string& Socket(const std::string& link);

  const TaskFiles* files_;
  const ReadableMemory& memory_;
  const int pid_;
  std::unordered_map<int, const ThreadRecord*> by_tid_;
  std::map<int, std::string> fds_;
  std::map<std::string, std::string> sockets_;  // by inode
  bool sockets_read_ = false;
};

}  // namespace sonde
