// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/stop_process.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <map>
#include <thread>

#include "cli/interrupt.h"
#include "cli/proc.h"
#include "cli/stacks/copied_memory.h"
#include "cli/stacks/why_not_traced.h"
#include "collectors/task_files.h"

namespace sonde::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kMaxRounds = 20;  // of looking for threads that began meanwhile
// ERESTARTNOHAND: the kernel makes the call again, unless a handler of the program is to run first.
constexpr auto kMakeAgain = static_cast<uint64_t>(int64_t{-514});

double MillisecondsSince(steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
}

// Waits without a time limit that the kernel ends with EINTR, though making them again would change
// nothing. With a time limit they would begin to wait anew.
bool MayBeMadeAgain(const user_regs_struct& user) {
  constexpr int64_t kForEver = -1;
  switch (user.orig_rax) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return static_cast<int32_t>(user.r10) == kForEver;
    case SYS_rt_sigtimedwait:
      return user.rdx == 0;
    case SYS_semop:
      return true;
    case SYS_semtimedop:
      return user.r10 == 0;
    default:
      return false;
  }
}

// One thread that is traced, from seizing it to letting it go.
struct Tracee {
  size_t index = 0;  // in StoppedProcess::process.threads
  bool stopped = false;
  bool gone = false;
  int signal = 0;  // that it was about to get
};

class Stopper {
 public:
  Stopper(int pid, milliseconds patience) : pid_(pid), patience_(patience), files_(pid) {
    stopped_.process.pid = pid;
  }

  StoppedProcess Run() {
    auto memory = std::make_unique<CopiedMemory>(pid_);
    const auto start = steady_clock::now();
    StopAll();
    for (auto& [tid, tracee] : tracees_) {
      if (tracee.stopped) Copy(tid, &tracee, memory.get());
    }
    for (auto& [tid, tracee] : tracees_) LetGo(tid, &tracee);
    stopped_.stopped_ms = MillisecondsSince(start);
    stopped_.process.memory = std::move(memory);
    DropEnded();
    return std::move(stopped_);
  }

 private:
  void StopAll() {
    const auto deadline = steady_clock::now() + patience_;
    for (int round = 0; round < kMaxRounds; ++round) {
      const bool found = SeizeNew();
      while (!AllStopped() && steady_clock::now() < deadline) {
        ThrowIfInterrupted();
        usleep(100);
      }
      if (!found) return;
    }
  }

  // Threads that were not there before; true: there were some.
  bool SeizeNew() {
    bool found = false;
    for (const int tid : files_.Tids()) {
      if (tracees_.contains(tid)) continue;
      ThrowIfInterrupted();
      found = true;
      const size_t index = Describe(tid);
      if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) {
        const int error = errno;
        if (tid == pid_ && error != ESRCH && stopped_.process.threads[index].record.state != 'Z')
          throw WhyNotTraced(pid_, error);
        tracees_[tid] = {index, false, true};
        continue;
      }
      ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
      tracees_[tid] = {index};
    }
    if (tracees_.empty()) throw WhyNotTraced(pid_, ESRCH);
    return found;
  }

  // What /proc says of it before it is stopped.
  size_t Describe(int tid) {
    FrozenThread thread;
    ThreadRecord& record = thread.record;
    const TaskStat stat = files_.Stat(tid);
    record.tid = tid;
    record.name = stat.name;
    record.state = stat.state;
    record.start_ticks = stat.start_ticks;
    if (!files_.CpuTime(tid, &record.cpu_ns)) record.cpu_ns = 0;
    stopped_.process.threads.push_back(std::move(thread));
    return stopped_.process.threads.size() - 1;
  }

  bool AllStopped() {
    bool all = true;
    for (auto& [tid, tracee] : tracees_) {
      if (!tracee.stopped && !tracee.gone) all = Look(tid, &tracee) && all;
    }
    return all;
  }

  // True: there is nothing to wait for any more.
  static bool Look(int tid, Tracee* tracee) {
    int status = 0;
    const pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
    if (got == 0) return false;
    tracee->gone = got < 0 || !WIFSTOPPED(status);
    tracee->stopped = !tracee->gone;
    if (tracee->stopped && status >> 16 == 0) tracee->signal = WSTOPSIG(status);
    return true;
  }

  void Copy(int tid, Tracee* tracee, CopiedMemory* memory) {
    FrozenThread& thread = stopped_.process.threads[tracee->index];
    user_regs_struct user{};
    if (ptrace(PTRACE_GETREGS, tid, nullptr, &user) != 0) {
      tracee->gone = errno == ESRCH;
      return;
    }
    thread.registers = RegistersOf(user);
    thread.has_registers = true;
    thread.record.where = PlaceOf(user);
    KeepRestartable(tid, &user);
    const bool waits = thread.record.where.kind == WhereItWaits::Kind::kSystemCall;
    if (!waits && thread.record.state == 'S') thread.record.state = 'R';
    if (waits && thread.record.state == 'R') thread.record.state = 'S';
    if (!memory->CopyStack(user.rsp)) thread.record.problem = "its stack was not copied: too much";
    if (waits && user.orig_rax == SYS_futex) memory->CopyAround(user.rdi);
  }

  // A wait that would return EINTR to the program is made again, where that is the same.
  void KeepRestartable(int tid, user_regs_struct* user) {
    const bool ends =
        static_cast<int64_t>(user->orig_rax) >= 0 && static_cast<int64_t>(user->rax) == -EINTR;
    if (!ends) return;
    if (MayBeMadeAgain(*user)) {
      user->rax = kMakeAgain;
      if (ptrace(PTRACE_SETREGS, tid, nullptr, user) == 0) return;
    }
    ++stopped_.interrupted;
  }

  void LetGo(int tid, Tracee* tracee) {
    if (tracee->gone) return;
    if (!tracee->stopped) {
      Look(tid, tracee);  // it may have stopped at last
      NoteNeverStopped(tid, *tracee);
    }
    if (tracee->stopped) ptrace(PTRACE_DETACH, tid, nullptr, tracee->signal);
  }

  // Its stack pointer is known all the same.
  void NoteNeverStopped(int tid, const Tracee& tracee) {
    ++stopped_.never_stopped;
    FrozenThread& thread = stopped_.process.threads[tracee.index];
    thread.record.where = TaskFiles::Watch(files_, tid).Look();
    thread.record.problem = "it did not stop in time, being uninterruptible in the kernel";
  }

  void DropEnded() {
    std::vector<FrozenThread> left;
    for (const auto& [tid, tracee] : tracees_) {
      if (!tracee.gone) left.push_back(std::move(stopped_.process.threads[tracee.index]));
    }
    stopped_.process.threads = std::move(left);
  }

  const int pid_;
  const milliseconds patience_;
  const TaskFiles files_;
  std::map<int, Tracee> tracees_;
  StoppedProcess stopped_;
};

void AddMappings(FrozenProcess* process) {
  auto table = ReadMapsOfPid(process->pid);
  if (!table) throw Failure(table.error());
  process->mappings = std::move(table->mappings);
  SetOwner(process->pid, &process->mappings);
  const FrozenMemory* memory = process->memory.get();
  AddBuildIds([memory](uint64_t address, void* out,
                       size_t size) { return memory->Read(address, out, size); },
              &process->mappings);
  process->root = "/proc/" + std::to_string(process->pid) + "/root";
}

}  // namespace

StoppedProcess StopAndCopy(int pid, milliseconds patience) {
  CheckHasStacks(pid);
  StoppedProcess stopped;
  std::exception_ptr error;
  std::thread tracer([&] {
    try {
      stopped = Stopper(pid, patience).Run();
    } catch (...) {
      error = std::current_exception();
    }
  });
  tracer.join();
  if (error) std::rethrow_exception(error);
  const auto stat = ReadStat(pid);
  stopped.process.name = stat ? stat->name : "";
  AddMappings(&stopped.process);
  return stopped;
}

}  // namespace sonde::cli
