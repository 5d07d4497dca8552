// SPDX-License-Identifier: Apache-2.0
// A program whose use of CPU time is known: it measures its own work by the kernel's CPU clocks,
// for run_accuracy.py to hold the agent's profile against.
//
//   accuracy_host <case>
//
// Burns CPU for a second and a half, so that an agent has met its threads; prints "ready"; then for
// each line "<milliseconds>" on stdin works that long, prints lines "key nanoseconds" and "done".
// Ends at the end of stdin.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr uint64_t kUs = 1'000;
constexpr uint64_t kMs = 1'000'000;

uint64_t ReadNs(clockid_t clock) {
  timespec at;
  clock_gettime(clock, &at);
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
}
uint64_t WallNs() { return ReadNs(CLOCK_MONOTONIC); }
uint64_t CpuNs() { return ReadNs(CLOCK_THREAD_CPUTIME_ID); }
uint64_t ProcessNs() { return ReadNs(CLOCK_PROCESS_CPUTIME_ID); }

// Burns about `ns` of CPU time in the caller's own code and returns how much it really was.
__attribute__((always_inline)) inline uint64_t Burn(uint64_t ns) {
  const uint64_t start_ns = CpuNs();
  uint64_t used_ns = 0;
  do {
    for (int i = 0; i < 20'000; ++i) asm volatile("");
    used_ns = CpuNs() - start_ns;
  } while (used_ns < ns);
  return used_ns;
}

}  // namespace

// The names that the profile must show.
#define SPIN(name)                                                                         \
  extern "C" __attribute__((noinline, visibility("default"))) uint64_t name(uint64_t ns) { \
    const uint64_t used_ns = Burn(ns);                                                     \
    asm volatile("" ::"r"(#name));                                                         \
    return used_ns;                                                                        \
  }
SPIN(spin_60)
SPIN(spin_30)
SPIN(spin_10)
SPIN(spin_first)
SPIN(spin_second)
SPIN(spin_many)
SPIN(spin_blocked)
SPIN(spin_open)
SPIN(spin_brief)
SPIN(spin_between_sleeps)

namespace {

struct Part {
  const char* name;
  uint64_t (*spin)(uint64_t);
  double share;
  uint64_t used_ns = 0;
};

// Slices of random length, so that no rhythm of the work can meet one of the sampler; always the
// part that is furthest behind.
void RunSplit(uint64_t until_ns) {
  Part parts[] = {{"spin_60", spin_60, .6}, {"spin_30", spin_30, .3}, {"spin_10", spin_10, .1}};
  std::mt19937_64 random(std::random_device{}());
  std::uniform_int_distribution<uint64_t> slice_ns(50 * kUs, 1 * kMs);
  double all_ns = 0;
  while (WallNs() < until_ns) {
    Part* behind = &parts[0];
    double most = -1;
    for (Part& part : parts) {
      const double lag = part.share * all_ns - static_cast<double>(part.used_ns);
      if (lag > most) {
        most = lag;
        behind = &part;
      }
    }
    const uint64_t used_ns = behind->spin(slice_ns(random));
    behind->used_ns += used_ns;
    all_ns += static_cast<double>(used_ns);
  }
  for (const Part& part : parts) printf("%s %lu\n", part.name, part.used_ns);
}

void PrintThread(int tid, uint64_t cpu_ns) { printf("tid:%d %lu\n", tid, cpu_ns); }

// Threads that stay, and so keep their timers, from one run to the next.
class Crew {
 public:
  using Job = void (*)(int number, uint64_t until_ns);

  Crew(int size, Job job) : job_(job) {
    pthread_barrier_init(&begin_, nullptr, static_cast<unsigned>(size) + 1);
    pthread_barrier_init(&end_, nullptr, static_cast<unsigned>(size) + 1);
    for (int i = 0; i < size; ++i) std::thread([this, i] { Work(i); }).detach();
  }

  void Run(uint64_t until_ns) {
    until_ns_ = until_ns;
    pthread_barrier_wait(&begin_);
    pthread_barrier_wait(&end_);
  }

 private:
  [[noreturn]] void Work(int number) {
    pthread_setname_np(pthread_self(), ("busy-" + std::to_string(number)).c_str());
    const int tid = static_cast<int>(syscall(SYS_gettid));
    for (;;) {
      pthread_barrier_wait(&begin_);
      const uint64_t start_ns = CpuNs();
      job_(number, until_ns_);
      PrintThread(tid, CpuNs() - start_ns);
      pthread_barrier_wait(&end_);
    }
  }

  Job job_;
  pthread_barrier_t begin_;
  pthread_barrier_t end_;
  uint64_t until_ns_ = 0;
};

void SpinAlone(int, uint64_t until_ns) {
  while (WallNs() < until_ns) spin_many(kMs);
}

template <int kSize>
void RunCrew(uint64_t until_ns) {
  static Crew crew(kSize, SpinAlone);
  crew.Run(until_ns);
}

// Two threads that hand the turn over to each other, 3 ms and 2 ms on average.
sem_t g_turns[2];

void TakeTurns(int me, uint64_t until_ns) {
  constexpr uint64_t kMeanNs[] = {3 * kMs, 2 * kMs};
  std::mt19937_64 random(std::random_device{}());
  std::uniform_int_distribution<uint64_t> slice_ns(kMeanNs[me] / 2, kMeanNs[me] / 2 * 3);
  uint64_t used_ns = 0;
  while (WallNs() < until_ns) {
    while (sem_wait(&g_turns[me]) != 0) {
    }
    used_ns += me == 0 ? spin_first(slice_ns(random)) : spin_second(slice_ns(random));
    sem_post(&g_turns[1 - me]);
  }
  printf("%s %lu\n", me == 0 ? "spin_first" : "spin_second", used_ns);
}

void RunPair(uint64_t until_ns) {
  static Crew crew(2, TakeTurns);
  sem_init(&g_turns[0], 0, 1);
  sem_init(&g_turns[1], 0, 0);
  crew.Run(until_ns);
}

void RunBlocked(uint64_t until_ns) {
  sigset_t all;
  sigfillset(&all);
  uint64_t blocked_ns = 0;
  uint64_t open_ns = 0;
  uint64_t blocks = 0;
  while (WallNs() < until_ns) {
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    blocked_ns += spin_blocked(100 * kMs);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    open_ns += spin_open(50 * kMs);
    ++blocks;
  }
  printf("spin_blocked %lu\nspin_open %lu\nblocks %lu\n", blocked_ns, open_ns, blocks);
}

void RunChurn(uint64_t until_ns) {
  uint64_t threads = 0;
  while (WallNs() < until_ns) {
    std::thread one(spin_brief, 20 * kMs);
    std::thread other(spin_brief, 20 * kMs);
    one.join();
    other.join();
    threads += 2;
  }
  printf("threads %lu\n", threads);
}

// Thousands of threads, of which a few work: others each time, so that each has to be found anew.
constexpr int kCrowd = 3000;
constexpr int kWorking = 3;
sem_t g_called;
sem_t g_finished;
std::atomic<uint64_t> g_crowd_until_ns{0};

void* WaitInCrowd(void* number) {
  const std::string name = "park-" + std::to_string(reinterpret_cast<intptr_t>(number));
  pthread_setname_np(pthread_self(), name.c_str());
  const int tid = static_cast<int>(syscall(SYS_gettid));
  for (;;) {
    while (sem_wait(&g_called) != 0) {
    }
    const uint64_t start_ns = CpuNs();
    SpinAlone(0, g_crowd_until_ns.load());
    PrintThread(tid, CpuNs() - start_ns);
    printf("name:%d:%s 1\n", tid, name.c_str());
    sem_post(&g_finished);
  }
  return nullptr;
}

void MakeCrowd() {
  sem_init(&g_called, 0, 0);
  sem_init(&g_finished, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  for (intptr_t i = 0; i < kCrowd; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, WaitInCrowd, reinterpret_cast<void*>(i)) != 0) {
      perror("pthread_create");
      _exit(77);
    }
  }
  pthread_attr_destroy(&attributes);
}

// Known to no library: made by a bare system call, with the thread storage of its maker.
struct RawThread {
  std::atomic<uint64_t> used_ns{0};
  std::atomic<int> tid{0};
  std::atomic<bool> done{false};
};

int SpinRaw(void* argument) {
  auto* self = static_cast<RawThread*>(argument);
  syscall(SYS_prctl, PR_SET_NAME, "raw");
  self->tid.store(static_cast<int>(syscall(SYS_gettid)));
  SpinAlone(0, g_crowd_until_ns.load());
  self->used_ns.store(CpuNs());
  self->done.store(true);
  syscall(SYS_exit, 0);
  return 0;
}

void RunCrowd(uint64_t until_ns) {
  static const bool made = (MakeCrowd(), true);
  static char raw_stack[256 << 10];
  if (!made) return;
  g_crowd_until_ns.store(until_ns);
  for (int i = 0; i < kWorking; ++i) sem_post(&g_called);
  RawThread raw;
  clone(SpinRaw, raw_stack + sizeof raw_stack,
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, &raw);
  for (int i = 0; i < kWorking; ++i) {
    while (sem_wait(&g_finished) != 0) {
    }
  }
  while (!raw.done.load()) usleep(2000);
  usleep(50'000);  // until it has left its stack
  PrintThread(raw.tid.load(), raw.used_ns.load());
  printf("name:%d:raw 1\n", raw.tid.load());
}

// Nearly all CPU time lies in the kernel, on the way into sleep and out of it.
template <uint64_t kUserNs>
void RunSleeper(uint64_t until_ns) {
  uint64_t user_ns = 0;
  while (WallNs() < until_ns) {
    if (kUserNs > 0) user_ns += spin_between_sleeps(kUserNs);
    const timespec pause{0, 20'000};
    nanosleep(&pause, nullptr);
  }
  printf("spin_between_sleeps %lu\n", user_ns);
}

struct Case {
  const char* name;
  void (*run)(uint64_t until_ns);
};
constexpr Case kCases[] = {
    {"split", RunSplit},      {"pair", RunPair},
    {"one", RunCrew<1>},      {"two", RunCrew<2>},
    {"many", RunCrew<64>},    {"blocked", RunBlocked},
    {"crowd", RunCrowd},      {"churn", RunChurn},
    {"sleep", RunSleeper<0>}, {"sleep_some", RunSleeper<60 * kUs>},
};

// What the run printed while warming up is not asked for.
void WarmUp(void (*run)(uint64_t)) {
  fflush(stdout);
  const int out = dup(1);
  if (freopen("/dev/null", "w", stdout) == nullptr) _exit(1);
  run(WallNs() + 1500 * kMs);
  fflush(stdout);
  dup2(out, 1);
  close(out);
}

void Serve(void (*run)(uint64_t)) {
  unsigned milliseconds = 0;
  while (scanf("%u", &milliseconds) == 1) {
    const uint64_t start_ns = ProcessNs();
    run(WallNs() + milliseconds * kMs);
    printf("process %lu\ndone\n", ProcessNs() - start_ns);
    fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const Case& item : kCases) {
    if (argc != 2 || strcmp(argv[1], item.name) != 0) continue;
    WarmUp(item.run);
    puts("ready");
    fflush(stdout);
    Serve(item.run);
    return 0;
  }
  fprintf(stderr, "usage: accuracy_host <case>; cases:");
  for (const Case& item : kCases) fprintf(stderr, " %s", item.name);
  fputc('\n', stderr);
  return 2;
}
