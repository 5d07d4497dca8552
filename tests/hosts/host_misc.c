// SPDX-License-Identifier: Apache-2.0
// Hosts that change their arguments and environment, listen on our port, use timers, and are
// traced.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

extern char** environ;

enum { kDefaultPort = 7663 };

static int ListenOn(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const int result = bind(fd, (const struct sockaddr*)&address, sizeof address);
  Say("bind %d: %d errno %d", port, result, result ? errno : 0);
  Say("listen: %d", listen(fd, 5));
  return fd;
}

static void SayEcho(int listener) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  getsockname(listener, (struct sockaddr*)&address, &size);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  const int connected = connect(client, (struct sockaddr*)&address, size);
  const int server = connected == 0 ? accept(listener, NULL, NULL) : -1;
  char text[8] = "";
  if (server >= 0 && write(client, "hello", 5) == 5 && read(server, text, 5) < 0) text[0] = 0;
  Say("echo on the same port: %s", text);
  close(client);
  close(server);
}

HOST_CASE(the_host_may_bind_the_default_port, port_keeper, fast) {
  Burn(60);
  const int fd = ListenOn(kDefaultPort);
  SayEcho(fd);
  close(fd);
  return 0;
}

HOST_CASE(the_host_may_bind_the_default_port_on_all_addresses, port_keeper, fast) {
  Burn(60);
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  const int both = 0;
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
  const struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(kDefaultPort)};
  const int result = bind(fd, (const struct sockaddr*)&address, sizeof address);
  Say("bind: %d errno %d", result, result ? errno : 0);
  Say("listen: %d", listen(fd, 5));
  close(fd);
  return 0;
}

static int Wait(void* unused) {
  (void)unused;
  SleepMs(200);
  return 3;
}

HOST_ROLE(successor_beside_the_port) {
  Burn(100);
  return Wait(NULL);
}

static int ExecBeside(void* unused) {
  (void)unused;
  ExecRole("successor_beside_the_port", NULL);
}

HOST_CASE(the_port_was_taken_before, port_keeper, fast) {
  const int fd = ListenOn(kDefaultPort);
  SayStatus("another program meanwhile", InChild(ExecBeside, NULL));
  SayEcho(fd);
  return 0;
}

HOST_CASE(clearenv_and_setenv, env_reader, fast) {
  Check(getenv("HOME") != NULL, "HOME is there");
  Say("clearenv %d", clearenv());
  Burn(60);
  Say("after clearenv: %s",
      getenv("LD_PRELOAD") == NULL && getenv("PATH") == NULL ? "empty" : "FAILED");
  setenv("ONE", "1", 1);
  putenv((char*)"TWO=2");
  Burn(60);
  for (char** variable = environ; *variable != NULL; variable++) Say("%s", *variable);
  environ = NULL;
  Burn(60);
  Say("getenv without any: %d", getenv("ONE") == NULL);
  static char* none[] = {NULL};
  environ = none;
  return 0;
}

// As servers that show their state in ps do it: arguments and environment are one block that they
// write over.
HOST_CASE(title_is_written_over_arguments, env_reader, fast) {
  char* end = host_argv[host_argc - 1] + strlen(host_argv[host_argc - 1]) + 1;
  for (char** variable = environ; *variable == end; variable++) end += strlen(*variable) + 1;
  static char* copies[256];
  size_t count = 0;
  for (char** variable = environ; *variable != NULL && count < 255; variable++)
    copies[count++] = strdup(*variable);
  environ = copies;
  memset(host_argv[0], 0, (size_t)(end - host_argv[0]));
  snprintf(host_argv[0], (size_t)(end - host_argv[0]), "title: idle");
  host_argv[1] = NULL;
  Burn(60);
  char line[64] = "";
  const int fd = open("/proc/self/cmdline", O_RDONLY);
  if (read(fd, line, sizeof line - 1) < 0) return 1;
  close(fd);
  Say("cmdline: %s", line);
  Say("PATH is kept: %d", getenv("PATH") != NULL);
  prctl(PR_SET_NAME, "other-name");
  Burn(60);
  return 0;
}

static volatile sig_atomic_t ticks;

static void Tick(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)context;
  ticks += info->si_value.sival_int;
}

static void TickInThread(union sigval value) {
  __atomic_fetch_add((int*)value.sival_ptr, 1, __ATOMIC_SEQ_CST);
}

HOST_CASE(timers_of_the_host, timer_breaker, fast) {
  struct sigaction action = {.sa_sigaction = Tick, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGRTMIN, &action, NULL);
  timer_t timers[3];
  for (int i = 0; i < 3; i++) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
                             .sigev_signo = SIGRTMIN,
                             .sigev_value = {.sival_int = 1 << (8 * i)}};
    const struct itimerspec once = {{0, 0}, {0, 5000000}};
    Say("timer_create %d",
        timer_create(i == 2 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &event, &timers[i]));
    Say("timer_settime %d", timer_settime(timers[i], 0, &once, NULL));
  }
  Say("different: %d", timers[0] != timers[1] && timers[1] != timers[2]);
  Burn(60);
  Say("ticks %#x", (unsigned)ticks);
  for (int i = 0; i < 3; i++) Say("delete %d overrun %d", timer_delete(timers[i]), i);
  static int calls;
  struct sigevent event = {.sigev_notify = SIGEV_THREAD,
                           .sigev_notify_function = TickInThread,
                           .sigev_value = {.sival_ptr = &calls}};
  const struct itimerspec every = {{0, 5000000}, {0, 5000000}};
  Say("thread timer %d", timer_create(CLOCK_MONOTONIC, &event, &timers[0]));
  Say("timer_settime %d", timer_settime(timers[0], 0, &every, NULL));
  for (int i = 0; i < 400 && __atomic_load_n(&calls, __ATOMIC_SEQ_CST) < 5; i++) SleepMs(5);
  Check(__atomic_load_n(&calls, __ATOMIC_SEQ_CST) >= 5, "SIGEV_THREAD runs");
  timer_delete(timers[0]);
  SleepMs(20);
  signal(SIGRTMIN, SIG_DFL);
  _exit(0);  // the C library's helper thread stays; the report is about single-threaded programs
}

HOST_CASE(timer_descriptors_and_alarms, timer_breaker, fast) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  const struct itimerspec once = {{0, 0}, {0, 20000000}};
  Say("timerfd %d settime %d", fd, timerfd_settime(fd, 0, &once, NULL));
  uint64_t expirations = 0;
  Burn(10);
  Say("read %zd, expired %d", read(fd, &expirations, sizeof expirations), (int)expirations);
  signal(SIGALRM, SIG_IGN);
  Say("alarm %u then %u", alarm(100), alarm(0));
  signal(SIGALRM, SIG_DFL);
  close(fd);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  Say("timer %d", timer_create(CLOCK_MONOTONIC, &event, &timer));
  timer_delete(timer);
  return 0;
}

static int BeTraced(void* unused) {
  (void)unused;
  ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  raise(SIGSTOP);
  Burn(60);
  raise(SIGUSR1);
  Burn(60);
  return 12;
}

// A tracer sees every signal: an agent's own are passed on, as debuggers do; the host's must come
// exactly once.
HOST_CASE(traced_by_its_parent, tgkill_storm_in_children, fast) {
  const pid_t pid = fork();
  if (pid == 0) _exit(BeTraced(NULL));
  int status = 0, usr1 = 0, foreign = 0;
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    int sig = WSTOPSIG(status);
    siginfo_t info = {0};
    ptrace(PTRACE_GETSIGINFO, pid, NULL, &info);
    usr1 += sig == SIGUSR1;
    foreign += sig != SIGUSR1 && sig != SIGSTOP && info.si_code != SI_TIMER;
    if (sig == SIGSTOP || sig == SIGUSR1) sig = 0;
    ptrace(PTRACE_CONT, pid, NULL, (void*)(intptr_t)sig);
  }
  Say("SIGUSR1 seen %d, foreign %d", usr1, foreign);
  SayStatus("traced child", status);
  return 0;
}

static int AskForATracer(void* raw) {
  Burn(60);
  if (raw != NULL) {
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
  } else {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  }
  Burn(100);
  return 13;
}

// Who asks to be traced only to learn whether it is already has a parent that knows nothing of it:
// the first signal would stop it for good.
HOST_CASE(traced_by_nobody, tgkill_storm_in_children, fast) {
  for (int raw = 0; raw < 2; raw++) {
    const pid_t pid = fork();
    if (pid == 0) _exit(AskForATracer(raw != 0 ? &raw : NULL));
    int status = 0, stops = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
      stops++;
      ptrace(PTRACE_CONT, pid, NULL, NULL);
    }
    Say("stopped %d times", stops);
    SayStatus("child", status);
  }
  return 0;
}

// errno after calls that succeed, and after calls that fail: each must be the kernel's and nobody
// else's.
HOST_CASE(errno_is_left_alone, errno_changer, fast) {
  Burn(30);
  int wrong = 0;
  for (int i = 0; i < 300; i++) {
    errno = 1234;
    const int fd = open("/dev/null", O_RDWR);
    wrong += errno != 1234;
    wrong += write(fd, "x", 1) != 1 || errno != 1234;
    close(fd);
    void* block = malloc(100 + (size_t)i * 1000);
    wrong += errno != 1234;
    free(block);
    wrong += errno != 1234;
    signal(SIGUSR1, SIG_DFL);
    sigset_t set;
    sigpending(&set);
    wrong += errno != 1234;
    if (i % 50 == 0) Burn(10);
    wrong += errno != 1234;
  }
  Say("wrong %d", wrong);
  Say("close(-1): %d errno %d", close(-1), errno);
  Say("bind(-1): %d errno %d", bind(-1, NULL, 0), errno);
  Say("sigaction(99): %d errno %d", sigaction(99, NULL, NULL), errno);
  Say("signal(99): %d errno %d", signal(99, SIG_DFL) == SIG_ERR, errno);
  return 0;
}

static void* CheckErrno(void* unused) {
  errno = 4321;
  Burn(150);
  Say("errno after burning: %d", errno);
  return unused;
}

HOST_CASE(errno_survives_sampling, errno_in_handler, fast) {
  CheckErrno(NULL);
  pthread_t thread;
  pthread_create(&thread, NULL, CheckErrno, NULL);
  pthread_join(thread, NULL);
  return 0;
}

HOST_CASE(stdio_is_not_touched, preload_noise, fast) {
  fputs("partial line without an end", stdout);
  Burn(60);
  fputs("to stderr\n", stderr);
  fflush(stdout);
  Say(" and its end");
  Say("buffered %d", setvbuf(stdout, NULL, _IOFBF, 4096));
  fputs("flushed at exit\n", stdout);
  return 0;
}
