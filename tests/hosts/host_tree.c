// SPDX-License-Identifier: Apache-2.0
// Hosts with a tree of processes: early forks, other pid name spaces, children that want a port;
// and hosts of a scheduling class or state in which nothing of an agent may show.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kSkip = 77, kAgentsPort = 7663 };

static atomic_bool stop;

static void PollFor(int ms) {
  const int64_t end = WallMs() + ms;
  while (WallMs() < end) poll(NULL, 0, 10);
}

static void* PollBeside(void* unused) {
  while (!stop) poll(NULL, 0, 5);
  return unused;
}

// Single-threaded at its fork and ever after, whatever its parent has.
static int PollAndCount(void* ms) {
  PollFor(*(int*)ms);
  return CountAllTasks();
}

static pid_t Start(int (*fn)(void*), void* argument) {
  const pid_t pid = fork();
  if (pid == 0) _exit(fn(argument));
  return pid;
}

static void SayCounts(pid_t* children, int count) {
  int with_more = 0, ended_otherwise = 0;
  for (int i = 0; i < count; i++) {
    int status = 0;
    waitpid(children[i], &status, 0);
    ended_otherwise += !WIFEXITED(status);
    with_more += WIFEXITED(status) && WEXITSTATUS(status) != 1;
  }
  Say("%d children: %d with more than one task, %d ended otherwise", count, with_more,
      ended_otherwise);
}

// A server that forks its workers in its first second, before an agent has decided anything, and
// all through the moment in which it does.
HOST_CASE(forks_around_the_agents_start, thread_at_fork, fast) {
  pthread_t thread;
  pid_t children[80];
  int ms = 1300, shorter = 60, count = 0;
  pthread_create(&thread, NULL, PollBeside, NULL);
  SleepMs(200);
  for (int i = 0; i < 4; i++) children[count++] = Start(PollAndCount, &ms);
  SleepMs(680);
  while (count < 80) {
    children[count++] = Start(PollAndCount, &shorter);
    SleepMs(4);
  }
  SayCounts(children, count);
  stop = true;
  pthread_join(thread, NULL);
  return 0;
}

// A container inside a container: its processes have numbers of their own, and the agent's owner is
// none of them.
static int ForkInOwnPidNamespace(void* ms) {
  if (unshare(CLONE_NEWPID) != 0) return kSkip;
  const int status = InChild(PollAndCount, ms);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

HOST_CASE(grandchild_in_another_pid_name_space, thread_at_fork, slow) {
  int ms = 4500;
  if (geteuid() != 0) return kSkip;
  Burn(60);
  SayStatus("its tasks", InChild(ForkInOwnPidNamespace, &ms));
  return 0;
}

static int BindPort(void* on_all) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kAgentsPort)};
  address.sin_addr.s_addr = htonl(*(int*)on_all ? INADDR_ANY : INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int result = bind(fd, (const struct sockaddr*)&address, sizeof address);
  Say("bind: %d errno %d", result, result ? errno : 0);
  Say("listen: %d", listen(fd, 5));
  SleepMs(50);
  return 5;
}

HOST_CASE(a_child_binds_the_default_port, port_keeper, fast) {
  for (int on_all = 0; on_all < 2; on_all++) SayStatus("child", InChild(BindPort, &on_all));
  int on_all = 1;
  return BindPort(&on_all);
}

static int CountRealTimeTasks(void) {
  int count = 0;
  for (int tid = getpid(); tid < getpid() + 64; tid++) {
    if (syscall(SYS_tgkill, getpid(), tid, 0) != 0) continue;
    const int policy = sched_getscheduler(tid);
    count += policy == SCHED_FIFO || policy == SCHED_RR;
  }
  return count;
}

static void SayScheduling(void) {
  struct sched_param parameters;
  cpu_set_t processors;
  sched_getparam(0, &parameters);
  sched_getaffinity(0, sizeof processors, &processors);
  Say("class %d priority %d nice %d processors %d", sched_getscheduler(0),
      parameters.sched_priority, getpriority(PRIO_PROCESS, 0), CPU_COUNT(&processors));
}

HOST_ROLE(work_in_real_time) {
  SettleAgent();
  Burn(60);
  SleepMs(100);
  Say("real-time tasks: %d", CountRealTimeTasks());
  SayScheduling();
  return 46;
}

HOST_CASE(real_time_class_is_not_inherited, thread_at_start, fast) {
  const struct sched_param parameters = {.sched_priority = 20};
  if (sched_setscheduler(0, SCHED_FIFO, &parameters) != 0) return kSkip;
  ExecRole("work_in_real_time", NULL);
}

HOST_ROLE(work_nicely) {
  SettleAgent();
  Burn(60);
  SayScheduling();
  return 47;
}

HOST_CASE(nice_and_processors_stay, scheduling_changer, fast) {
  cpu_set_t processors;
  sched_getaffinity(0, sizeof processors, &processors);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&processors) > 1; i++) CPU_CLR(i, &processors);
  if (sched_setaffinity(0, sizeof processors, &processors) != 0) return kSkip;
  if (setpriority(PRIO_PROCESS, 0, 7) != 0) return kSkip;
  ExecRole("work_nicely", NULL);
}

// Work whose result tells of any register or memory that did not survive a stop.
static unsigned Mix(unsigned rounds) {
  unsigned a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
  for (unsigned i = 0; i < rounds; i++) {
    a = a * 1664525 + b, b ^= c + (a >> 7), c += d * 3, d ^= e << 1, e += f ^ a, f = f * 5 + c;
  }
  return a ^ b ^ c ^ d ^ e ^ f;
}

static volatile sig_atomic_t continued;
static void CountContinue(int sig) { continued += sig == SIGCONT; }

static int WorkUntilTold(void* fd) {
  char byte;
  struct pollfd told = {*(int*)fd, POLLIN, 0};
  const unsigned expected = Mix(20000);
  int wrong = 0;
  signal(SIGCONT, CountContinue);
  while (poll(&told, 1, 0) != 1) wrong += Mix(20000) != expected;
  if (read(*(int*)fd, &byte, 1) < 0) return 97;
  Say("wrong results: %d", wrong);
  Say("continued: %s", continued > 0 ? "yes" : "never");
  return wrong ? 1 : 9;
}

// Stops and continues come at any instruction, so also inside an agent's handler; each must be seen
// by the parent, as bare.
HOST_CASE(stopped_and_continued_at_any_moment, stop_breaker, fast) {
  int pipes[2], status, stops = 0, continues = 0;
  if (pipe(pipes) != 0) return 1;
  Burn(40);
  const pid_t pid = Start(WorkUntilTold, &pipes[0]);
  SleepMs(50);
  for (int i = 0; i < 300; i++) {
    kill(pid, SIGSTOP);
    stops += waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
    kill(pid, SIGCONT);
    continues += waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status);
    usleep(1000);
  }
  if (write(pipes[1], "x", 1) != 1) return 1;
  waitpid(pid, &status, 0);
  Say("stops seen %d, continues seen %d", stops, continues);
  SayStatus("child", status);
  return 0;
}

static int StopParent(void* unused) {
  (void)unused;
  const pid_t parent = getppid();
  for (int i = 0; i < 300; i++) {
    kill(parent, SIGSTOP);
    usleep(200);
    kill(parent, SIGCONT);
    usleep(1000);
  }
  return 10;
}

// The same for the process that has the agent's thread.
HOST_CASE(the_main_process_is_stopped_and_continued, stop_breaker, fast) {
  const unsigned expected = Mix(20000);
  int wrong = 0, status = 0;
  signal(SIGCONT, CountContinue);
  const pid_t pid = Start(StopParent, NULL);
  while (waitpid(pid, &status, WNOHANG) == 0) wrong += Mix(20000) != expected;
  SayStatus("stopper", status);
  Say("wrong results: %d", wrong);
  Say("continued: %s", continued > 0 ? "yes" : "never");
  signal(SIGCONT, SIG_DFL);
  return 0;
}
