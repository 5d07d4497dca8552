// SPDX-License-Identifier: Apache-2.0
// A service whose threads wait in every way there is, each below a chain of functions of its own.
// Usage: waits_host THREADS [stoppable]. With "stoppable" none sleeps uninterruptibly: a debugger
// could not stop it. Prints "ready", waits for a line on stdin, prints "eintr N", the number
// of waits that a signal has ended.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace {

std::atomic<int> g_waiting{0};
std::atomic<int> g_interrupted{0};
std::atomic<uint32_t> g_futex{0};
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t g_rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_mutex_t g_cond_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
pthread_barrier_t g_barrier;
sem_t g_sem;
std::mutex g_std_mutex;
std::condition_variable g_std_cond;
pthread_t g_sleeper;
int g_epoll, g_pipe[2], g_socket[2], g_listener, g_queue, g_child;
std::string g_lock_path;
volatile int g_sink;

void Check(long result, const char* what) {
  if (result >= 0) return;
  perror(what);
  exit(1);
}

// Leaves old frames in the stack below: what a walk that searches may take for true ones.
__attribute__((noinline)) void StirInner(int depth) {
  volatile char space[96];
  for (unsigned i = 0; i < sizeof(space); ++i) space[i] = static_cast<char>(i);
  if (depth > 0) StirInner(depth - 1);
  g_sink = g_sink + space[depth % 96];
}
__attribute__((noinline)) void StirOuter(int depth) {
  StirInner(depth);
  g_sink = g_sink + 1;
}

#define NOINLINE __attribute__((noinline))
// Three functions a kind; the first is what the thread is told to do. The middle one has room in
// which old frames lie.
#define KIND(name, expression)                           \
  NOINLINE void Wait##name() {                           \
    ++g_waiting;                                         \
    for (;;) {                                           \
      const long result = (expression);                  \
      if (result < 0 && errno == EINTR) ++g_interrupted; \
    }                                                    \
  }                                                      \
  NOINLINE void Middle##name() {                         \
    volatile char space[700];                            \
    space[g_sink % 700] = 1;                             \
    StirOuter(6);                                        \
    Wait##name();                                        \
    g_sink = g_sink + space[1];                          \
  }                                                      \
  NOINLINE void* Start##name(void*) {                    \
    prctl(PR_SET_NAME, #name);                           \
    StirOuter(3);                                        \
    Middle##name();                                      \
    return nullptr;                                      \
  }

long CondWait() {
  pthread_mutex_lock(&g_cond_mutex);
  const int result = pthread_cond_wait(&g_cond, &g_cond_mutex);
  pthread_mutex_unlock(&g_cond_mutex);
  return result;
}
long StdCondWait() {
  std::unique_lock<std::mutex> lock(g_std_mutex);
  g_std_cond.wait(lock);
  return 0;
}
long PollPipe() {
  pollfd item{g_pipe[0], POLLIN, 0};
  return poll(&item, 1, -1);
}
long PpollPipe() {
  pollfd item{g_pipe[0], POLLIN, 0};
  return ppoll(&item, 1, nullptr, nullptr);
}
long SelectPipe() {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(g_pipe[0], &set);
  return select(g_pipe[0] + 1, &set, nullptr, nullptr, nullptr);
}
long ReadPipe() {
  char byte;
  return read(g_pipe[0], &byte, 1);
}
long ReceiveSocket() {
  char byte;
  return recv(g_socket[0], &byte, 1, 0);
}
long Sleep() {
  const timespec time{1000, 0};
  return nanosleep(&time, nullptr);
}
long EpollWait() {
  epoll_event event;
  return epoll_wait(g_epoll, &event, 1, -1);
}
long LockFile() {
  const int fd = open(g_lock_path.c_str(), O_RDWR | O_CLOEXEC);
  Check(fd, "open the lock file");
  return flock(fd, LOCK_EX);
}
long WaitForSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  const timespec time{1000, 0};
  return sigtimedwait(&set, nullptr, &time);
}
long SemTimed() {
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 1000;
  return sem_timedwait(&g_sem, &until);
}
long ReceiveMessage() {
  struct {
    long type;
    char text[8];
  } message;
  return msgrcv(g_queue, &message, sizeof(message.text), 0, 0);
}
// The parent sleeps uninterruptibly until the child ends.
long ParentOfVfork() {
  const pid_t child = vfork();
  if (child == 0) {
    const timespec time{1000, 0};
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    syscall(SYS_nanosleep, &time, nullptr);
    _exit(0);
  }
  return child;
}

KIND(Futex, syscall(SYS_futex, &g_futex, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0))
KIND(Cond, CondWait())
KIND(StdCond, StdCondWait())
KIND(Mutex, -pthread_mutex_lock(&g_mutex))
KIND(WriteLock, -pthread_rwlock_wrlock(&g_rwlock))
KIND(ReadLock, -pthread_rwlock_rdlock(&g_rwlock))
KIND(Sem, sem_wait(&g_sem))
KIND(SemTimed, SemTimed())
KIND(Epoll, EpollWait())
KIND(Poll, PollPipe())
KIND(Ppoll, PpollPipe())
KIND(Select, SelectPipe())
KIND(ReadPipe, ReadPipe())
KIND(Recv, ReceiveSocket())
KIND(Accept, accept(g_listener, nullptr, nullptr))
KIND(Sleep, Sleep())
KIND(Join, -pthread_join(g_sleeper, nullptr))
KIND(Flock, LockFile())
KIND(Sigwait, WaitForSignal())
KIND(Message, ReceiveMessage())
KIND(Barrier, pthread_barrier_wait(&g_barrier))
KIND(Waitpid, waitpid(g_child, nullptr, 0))
KIND(Vfork, ParentOfVfork())

using Start = void* (*)(void*);
// But for joining, which only one thread may do to another, and vfork.
constexpr Start kMany[] = {StartFutex,    StartCond,   StartStdCond,  StartMutex,   StartWriteLock,
                           StartReadLock, StartSem,    StartSemTimed, StartEpoll,   StartPoll,
                           StartPpoll,    StartSelect, StartReadPipe, StartRecv,    StartAccept,
                           StartSleep,    StartFlock,  StartSigwait,  StartMessage, StartBarrier,
                           StartWaitpid};
constexpr int kKinds = sizeof(kMany) / sizeof(kMany[0]);

void Prepare() {
  char path[] = "/tmp/sonde-waits-XXXXXX";
  const int lock = mkstemp(path);
  Check(lock, "mkstemp");
  Check(flock(lock, LOCK_EX), "flock");
  g_lock_path = path;
  g_epoll = epoll_create1(EPOLL_CLOEXEC);
  Check(pipe2(g_pipe, O_CLOEXEC), "pipe2");
  Check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, g_socket), "socketpair");
  g_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path + 1, 60, "sonde-waits-%d", getpid());
  Check(bind(g_listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), "bind");
  Check(listen(g_listener, 1), "listen");
  g_queue = msgget(IPC_PRIVATE, 0600);
  Check(g_queue, "msgget");
  sem_init(&g_sem, 0, 0);
  pthread_barrier_init(&g_barrier, nullptr, 1 << 20);
  pthread_mutex_lock(&g_mutex);
  pthread_rwlock_wrlock(&g_rwlock);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  g_child = fork();
  if (g_child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
}

pthread_t Make(Start start) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, start, nullptr) != 0) {
    fputs("pthread_create failed\n", stderr);
    exit(1);
  }
  return thread;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 100;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Prepare();
  g_sleeper = Make(StartSleep);
  Make(StartJoin);
  int made = 2;
  if (argc < 3 || strcmp(argv[2], "stoppable") != 0) {
    Make(StartVfork);
    ++made;
  }
  for (; made < threads; ++made) Make(kMany[made % kKinds]);
  while (g_waiting.load() < made) usleep(10000);
  usleep(300000);
  unlink(g_lock_path.c_str());
  printf("ready\n");
  fflush(stdout);
  getchar();
  printf("eintr %d\n", g_interrupted.load());
  fflush(stdout);
  kill(g_child, SIGKILL);
  msgctl(g_queue, IPC_RMID, nullptr);
  _exit(0);
}
