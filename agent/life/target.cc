// SPDX-License-Identifier: Apache-2.0
#include "agent/life/target.h"

#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>

#include "agent/life/proc_text.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

// Shells, inits and the small programs that end by executing another.
constexpr const char* kShells[] = {
    "sh",        "bash",         "dash",      "ash",       "zsh",         "ksh",      "ksh93",
    "mksh",      "fish",         "tcsh",      "csh",       "rbash",       "busybox",  "toybox",
    "tini",      "tini-static",  "dumb-init", "catatonit", "docker-init", "init",     "systemd",
    "s6-svscan", "s6-supervise", "runsv",     "runsvdir",  "supervise",   "env",      "nice",
    "nohup",     "setsid",       "timeout",   "su",        "sudo",        "gosu",     "su-exec",
    "setpriv",   "chpst",        "stdbuf",    "flock",     "xargs",       "run-parts"};

constexpr int kMaxAncestors = 16;

bool ParseNumber(const char* text, size_t size, int* out) {
  if (size == 0 || size > 9) return false;
  int value = 0;
  for (size_t i = 0; i < size; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  *out = value;
  return true;
}

// Writes "/proc/<pid>/<leaf>" without libc's formatting.
void ProcPath(int pid, const char* leaf, char* out) {
  char digits[12];
  size_t count = 0;
  for (int rest = pid; rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  memcpy(out, "/proc/", 6);
  out += 6;
  while (count > 0) *out++ = digits[--count];
  *out++ = '/';
  memcpy(out, leaf, strlen(leaf) + 1);
}

struct Ancestor {
  char name[16];
  int parent = 0;
};

// From "/proc/PID/stat": pid (name) state ppid …; the name may hold blanks and parentheses.
bool ReadAncestor(int pid, Ancestor* out) {
  char path[64];
  char text[512];
  ProcPath(pid, "stat", path);
  if (ReadProcText(path, text, sizeof text) == 0) return false;
  const char* open = strchr(text, '(');
  const char* close = strrchr(text, ')');
  if (open == nullptr || close == nullptr || close < open || strlen(close) < 5) return false;
  const size_t length = static_cast<size_t>(close - open) - 1;
  if (length >= sizeof out->name) return false;
  memcpy(out->name, open + 1, length);
  out->name[length] = 0;
  const char* parent = close + 4;  // ") S "
  return ParseNumber(parent, strcspn(parent, " "), &out->parent);
}

// Not by getppid, which a filter that kills may lack: until one is looked for, only calls that
// every start needs are made. 0 when it is not to be told.
int ParentPid() {
  Ancestor self{};
  return ReadAncestor(sys::Getpid(), &self) ? self.parent : 0;
}

// The main process, or one that only shells stand above.
Start DecideMain(const char* name) {
  if (sys::Getpid() == 1) return IsShell(name) ? Start::kNever : Start::kAtLoad;
  if (IsShell(name)) return Start::kNever;
  int pid = ParentPid();
  for (int i = 0; i < kMaxAncestors && pid > 0; ++i) {
    Ancestor ancestor{};
    if (!ReadAncestor(pid, &ancestor) || !IsShell(ancestor.name)) return Start::kNever;
    if (pid == 1) return Start::kAtTrigger;
    pid = ancestor.parent;
  }
  return Start::kNever;  // not below pid 1: a probe that the runtime put into the container
}

// `executed` is the path that execve was given: a link's own name (Debian's redis-server), or a
// script's.
struct Program {
  const char* path;
  const char* name;
  const char* executed;
};

bool Matches(const char* item, size_t size, const char* candidate) {
  return strlen(candidate) == size && memcmp(candidate, item, size) == 0;
}

bool IsNamed(const char* item, size_t size, const Program& program) {
  if (item[0] == '/')
    return Matches(item, size, program.path) || Matches(item, size, program.executed);
  return Matches(item, size, program.name) ||
         (!IsShell(program.name) && Matches(item, size, BaseName(program.executed)));
}

bool SameProgram(int pid, const char* path) {
  char link[32];
  char target[512];
  ProcPath(pid, "exe", link);
  const long size = sys::Call(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
  if (sys::Failed(size)) return false;
  target[size] = 0;
  return strcmp(target, path) == 0;
}

// Whether a process was started with SONDE_TARGET: looks for the name in what it was given, in
// pieces that overlap.
bool HasTarget(int pid) {
  constexpr char kName[] = "SONDE_TARGET=";
  constexpr size_t kOverlap = sizeof kName - 1;
  char path[32];
  ProcPath(pid, "environ", path);
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return false;
  char text[4096];
  size_t kept = 0;
  bool found = false;
  for (int piece = 0; piece < 64 && !found; ++piece) {
    const long size = sys::Call(SYS_read, fd, text + kept, sizeof text - kept);
    if (sys::Failed(size) || size == 0) break;
    const size_t length = kept + static_cast<size_t>(size);
    found = memmem(text, length, kName, kOverlap) != nullptr;
    kept = length < kOverlap ? length : kOverlap;
    memmove(text, text + length - kept, kept);
  }
  sys::Call(SYS_close, fd);
  return found;
}

// The parent is a target, too, and of the same program.
bool ParentRuns(const char* path) {
  const int parent = ParentPid();
  return SameProgram(parent, path) && HasTarget(parent);
}

Start DecideItem(const char* item, size_t size, const Program& program) {
  if (size == 4 && memcmp(item, "main", 4) == 0) return DecideMain(program.name);
  int pid = 0;
  if (size > 4 && memcmp(item, "pid:", 4) == 0 && ParseNumber(item + 4, size - 4, &pid)) {
    return pid == sys::Getpid() ? Start::kAtLoad : Start::kNever;
  }
  if (!IsNamed(item, size, program)) return Start::kNever;
  // A program that executes itself again (chromium's zygote) makes helpers that may need to be
  // single-threaded.
  return ParentRuns(program.path) ? Start::kAtTriggerThreads : Start::kAtLoad;
}

}  // namespace

// Malloc-safe.
const char* BaseName(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

// Malloc-safe.
bool IsShell(const char* name) {
  for (const char* shell : kShells) {
    if (strcmp(shell, name) == 0) return true;
  }
  return false;
}

// Malloc-safe.
Start DecideStart(const char* target) {
  char path[512];
  const long size = sys::Call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof path - 1);
  path[sys::Failed(size) ? 0 : size] = 0;
  const char* name = BaseName(path);
  if (target[0] == 0) return IsShell(name) ? Start::kNever : Start::kAtTriggerThreads;
  const auto* executed = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  const Program program{path, name, executed != nullptr ? executed : path};
  Start decision = Start::kNever;
  for (const char* item = target; decision == Start::kNever;) {
    const size_t length = strcspn(item, ",");
    if (length > 0) decision = DecideItem(item, length, program);
    if (item[length] == 0) break;
    item += length + 1;
  }
  return decision;
}

}  // namespace sonde::life
