// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/why_not_traced.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "cli/proc.h"

namespace sonde::cli {
namespace {

constexpr uint64_t kCapSysPtrace = uint64_t{1} << 19;

std::string PidText(int pid) { return "pid " + std::to_string(pid); }

// The first word behind "NAME:" in /proc/PID/status.
std::string StatusWord(const std::string& pid, const std::string& name) {
  std::istringstream lines(ReadSmallFile("/proc/" + pid + "/status").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    std::string value;
    if (words >> key >> value && key == name + ":") return value;
  }
  return "";
}

bool WeMayTraceAny() {
  return (strtoull(StatusWord("self", "CapEff").c_str(), nullptr, 16) & kCapSysPtrace) != 0;
}

int YamaScope() {
  const auto text = ReadSmallFile("/proc/sys/kernel/yama/ptrace_scope");
  return text ? atoi(text->c_str()) : 0;
}

CliError TracedBy(int pid, const std::string& tracer) {
  return Failure(PidText(pid) + " is traced by pid " + tracer + " (" +
                     CommandLineOf(atoi(tracer.c_str())) + "), and there can be one tracer only",
                 "end that one first, or use an agent: it needs no ptrace");
}

CliError Forbidden(int pid) {
  const std::string no = "the kernel does not let us trace " + PidText(pid) + ": ";
  const auto user = UserOf(pid);
  if (user && *user != geteuid()) {
    return Failure(no + "it belongs to user " + std::to_string(*user) + ", we are user " +
                       std::to_string(geteuid()) +
                       (geteuid() == 0 ? " without CAP_SYS_PTRACE" : ""),
                   geteuid() == 0 ? "give this container CAP_SYS_PTRACE"
                                  : "run sonde as that user, or as root");
  }
  const int scope = YamaScope();
  if (scope == 1) {
    return Failure(no + "kernel.yama.ptrace_scope is 1: only its own ancestors may",
                   "run sonde as root, or: sysctl kernel.yama.ptrace_scope=0");
  }
  if (scope == 2) {
    return Failure(no + "kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE may",
                   "run sonde as root");
  }
  if (scope >= 3) {
    return Failure(no + "kernel.yama.ptrace_scope is 3: nobody may, until the next boot",
                   "use the agent: it needs no ptrace");
  }
  return Failure(no +
                     "it made itself undumpable (as after setuid), or a security module or seccomp "
                     "filter objects",
                 "run sonde as root, in the same container or outside of it");
}

}  // namespace

CliError WhyNotTraced(int pid, int error) {
  if (error == ESRCH) return Failure(PidText(pid) + " has ended");
  if (error != EPERM && error != EACCES)
    return Failure("cannot trace " + PidText(pid) + ": " + strerror(error));
  const std::string tracer = StatusWord(std::to_string(pid), "TracerPid");
  if (!tracer.empty() && tracer != "0") return TracedBy(pid, tracer);
  if (WeMayTraceAny())
    return Failure("the kernel does not let us trace " + PidText(pid) + ", not even as root",
                   "a security module, a seccomp filter, or a process of another user namespace?");
  return Forbidden(pid);
}

void CheckHasStacks(int pid) {
  if (pid == getpid()) throw UsageError(PidText(pid) + " is this sonde itself");
  const std::string text = std::to_string(pid);
  const std::string state = StatusWord(text, "State");
  if (state.empty()) {
    const bool hidden = std::filesystem::exists("/proc/self/status");
    throw Failure("there is no process " + text + (hidden ? "" : ": /proc is not mounted"));
  }
  // A leader that ended by pthread_exit is a zombie, too, while others live on.
  std::error_code error;
  size_t tasks = 0;
  for ([[maybe_unused]] const auto& task :
       std::filesystem::directory_iterator("/proc/" + text + "/task", error))
    ++tasks;
  if (state == "Z" && tasks <= 1)
    throw Failure(PidText(pid) + " is a zombie: it has ended, and has no stacks any more");
  if (StatusWord(text, "VmSize").empty() && state != "Z")
    throw Failure(PidText(pid) + " is a thread of the kernel: it has no stacks of a program");
  if (StatusWord(text, "Tgid") != text)
    throw UsageError(text + " is a thread of pid " + StatusWord(text, "Tgid"),
                     "try: sonde threads --pid " + StatusWord(text, "Tgid"));
}

}  // namespace sonde::cli
