// SPDX-License-Identifier: Apache-2.0
// What every host program of this folder is made of: cases, roles and a report of oneself.
//
// A host program is an ordinary program without any knowledge of Sonde. `program CASE` runs one
// case, then prints what the process can observe of itself. run_host.py runs it bare and under an
// agent and compares everything that was printed, so nothing printed may depend on time, pids or
// addresses.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct HostEntry {
  const char* name;
  int (*run)(void);
  struct HostEntry* next;
};

void HostRegisterCase(struct HostEntry* entry);
void HostRegisterRole(struct HostEntry* entry);

// A case: `HOST_CASE(name, bad_agent, fast|slow) { … return exit_code; }`. bad_agent names the
// library of bad_agents/ that the case must catch: it is the proof that the case can fail.
// CMakeLists.txt reads both.
#define HOST_CASE(name, caught_bad_agent, speed) HOST_ENTRY_(Case, name)

// A role: what the program does when a case executes it again by ExecRole. Every program has the
// role "obey": it carries out "burn MS", "close_all 0" and "setuid UID" from stdin.
#define HOST_ROLE(name) HOST_ENTRY_(Role, name)

#define HOST_ENTRY_(kind, entry_name)                                         \
  static int entry_name(void);                                                \
  __attribute__((constructor)) static void Register##kind##entry_name(void) { \
    static struct HostEntry entry = {#entry_name, entry_name, NULL};          \
    HostRegister##kind(&entry);                                               \
  }                                                                           \
  static int entry_name(void)

extern char** host_argv;
extern int host_argc;

// Writes a formatted line to stdout by one write call, so that it is safe around fork and threads.
void Say(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Says the label with "ok", or with "FAILED" and errno: run_host.py demands that the bare run never
// says FAILED.
void Check(bool truth, const char* label);

// Says a wait status in words.
void SayStatus(const char* label, int status);

// Runs fn in a forked child, which exits with fn's result; returns the wait status.
int InChild(int (*fn)(void*), void* argument);

// Executes this program again as the role; in the calling process, which ends with 98 if that
// fails.
void ExecRole(const char* role, const char* argument) __attribute__((noreturn));

// Burns that much CPU time of the calling thread, in user mode.
void Burn(int cpu_ms);

// Sleeps for wall time, through every EINTR.
void SleepMs(int ms);

int64_t WallMs(void);

// Tasks of this process by /proc/self/task. An agent is allowed one thread of its own, named
// "sonde…", in a process that has threads or is its named target; CountHostTasks leaves it out.
// HOST_AGENT_TASKS allows more, for hosts in which an agent needs a task that libc does not know.
int CountAllTasks(void);
int CountHostTasks(void);

// Tasks whose /proc status has another line with that key ("Uid", "CapEff" …) than main's; -1 when
// it cannot be told.
int CountTasksThatDiffer(const char* key);

// Whether the rules allow the agent a thread in this process: it is the named target, or it has
// made threads itself.
bool AgentThreadIsAllowed(void);

// Told by HostMadeThread's wrappers of pthread_create and thrd_create; C++ hosts call it
// themselves.
void HostMadeThread(void);

// Whether this process's main program is named to the agent; the wait for it is bounded. Says
// nothing.
void SettleAgent(void);

// Prints descriptors, children, tasks, masks, dispositions, limits and timers of this process.
void ReportSelf(void);

#ifdef __cplusplus
}
#endif
