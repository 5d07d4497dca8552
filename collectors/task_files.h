// SPDX-License-Identifier: Apache-2.0
// What /proc says of single threads: where they wait, in what state, since when they exist. Reading
// it disturbs nobody: no signal, no ptrace.
//
// Agent thread only. Holds /proc/PID/task open, so that it goes on working after a chroot. Memory:
// one descriptor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sonde {

// The text of "syscall".
struct WhereItWaits {
  enum class Kind : uint8_t {
    kRunning,     // or ready to run
    kSystemCall,  // number, arguments, sp, pc
    kElsewhere,   // waits in the kernel without a system call, as after a page fault: sp, pc
    kDenied,      // the kernel does not tell us
    kGone,        // the thread has ended
  };
  Kind kind = Kind::kGone;
  int number = -1;
  uint64_t arguments[6] = {};
  uint64_t sp = 0;
  uint64_t pc = 0;
  int error = 0;  // kDenied: an errno

  bool operator==(const WhereItWaits&) const = default;
};

WhereItWaits ParseSyscallText(std::string_view text);

struct TaskStat {
  std::string name;
  char state = 0;            // R S D T t Z X I; 0: unknown
  uint64_t start_ticks = 0;  // since boot, in hundredths of a second
};

// Nothing but zeros when the text makes no sense.
TaskStat ParseTaskStat(std::string_view text);

class TaskFiles {
 public:
  // Of this process; of another one with its pid.
  explicit TaskFiles(int pid = 0);
  ~TaskFiles();
  TaskFiles(const TaskFiles&) = delete;
  TaskFiles& operator=(const TaskFiles&) = delete;

  [[nodiscard]] bool ok() const { return directory_ >= 0; }

  [[nodiscard]] std::vector<int> Tids() const;
  [[nodiscard]] TaskStat Stat(int tid) const;
  // CPU time used so far, of a thread of any process; false: it is gone, or the kernel keeps no
  // such books.
  [[nodiscard]] bool CpuTime(int tid, uint64_t* ns) const;
  // The kernel's function that the thread waits in, "ep_poll"; empty: it does not wait, or the
  // kernel does not tell. Readable where "syscall" is not: in an undumpable process.
  [[nodiscard]] std::string WaitChannel(int tid) const;
  // Where a descriptor of that thread leads: "socket:[123]", "/var/log/x"; empty: unknown.
  [[nodiscard]] std::string Descriptor(int tid, int fd) const;

  // One thread's "syscall", kept open for a second look.
  class Watch {
   public:
    Watch(const TaskFiles& files, int tid);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    [[nodiscard]] WhereItWaits Look() const;

   private:
    long fd_;
  };

 private:
  long Open(int tid, const char* leaf) const;

  long directory_;
};

}  // namespace sonde
