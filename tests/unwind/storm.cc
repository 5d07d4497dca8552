// SPDX-License-Identifier: Apache-2.0
// Everything at once: threads load and unload objects that take each other's place, throw through
// them, are sampled a thousand times a second, and fork children that do the same, while the tables
// are kept up to date. What the stack must be is noted at sampling time by the code that runs.
//
//   unwind_storm PLUGIN OTHER_PLUGIN SECONDS [BUDGET_KIB]
//
// Ends with 1 if a walk names a wrong caller by tables that had been brought up to date since, with
// another status or a signal if anything crashed or stood still.
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "collectors/safe/unwind.h"
#include "collectors/unwind_tables.h"

extern "C" {
extern const char __start_storm_spin[], __stop_storm_spin[];
extern const char __start_storm_work[], __stop_storm_work[];
}

namespace {

using Answer = int (*)(int (*question)(int));

constexpr int kWorkers = 4;
constexpr uint32_t kMaxFrames = 128;
// An object that the loader's list does not tell from another is found by looking at some objects
// each time.
constexpr uint64_t kRefreshesToNotice = 12;

sonde::UnwindShare* g_share;
sonde::UnwindPublication* g_publication;
std::atomic<bool> g_stop{false};
std::atomic<uint64_t> g_started{0}, g_done{0};  // refreshes
std::atomic<uint64_t> g_good{0}, g_cut{0}, g_early{0}, g_wrong{0}, g_elsewhere{0};
std::atomic<uint64_t> g_loads{0}, g_throws{0}, g_children{0}, g_bad_children{0};

struct Expected {
  volatile bool on;             // the code that runs is Question, called as below
  volatile uint64_t caller;     // its return address, in the plug-in
  volatile uint64_t loaded_at;  // g_started when the plug-in was there
};
__thread Expected t_expected __attribute__((tls_model("initial-exec")));

bool Within(uint64_t address, const char* begin, const char* end) {
  return address >= reinterpret_cast<uint64_t>(begin) && address < reinterpret_cast<uint64_t>(end);
}

// Async-signal-safe.
void Judge(const sonde::WalkResult& walk, const uint64_t* frames) {
  const bool spinning = t_expected.on && Within(frames[0], __start_storm_spin, __stop_storm_spin);
  if (!spinning) {
    g_elsewhere.fetch_add(1);
    return;
  }
  const bool guessed = walk.not_built || walk.unknown_pc;
  const bool wrong =
      (walk.depth > 1 && frames[1] != t_expected.caller) ||
      (walk.depth > 2 && !Within(frames[2] - 1, __start_storm_work, __stop_storm_work));
  if (wrong && !guessed) {
    const bool early = g_done < t_expected.loaded_at + kRefreshesToNotice;
    (early ? g_early : g_wrong).fetch_add(1);
  } else if (wrong || walk.end != sonde::StackEnd::kRoot) {
    g_cut.fetch_add(1);
  } else {
    g_good.fetch_add(1);
  }
}

void OnSample(int, siginfo_t*, void* context) {
  sonde::Registers registers;
  uint64_t frames[kMaxFrames];
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  for (int i = 0; i < sonde::kGregCount; ++i) {
    registers.gpr[i] = static_cast<uint64_t>(machine.gregs[i]);
  }
  const sonde::WalkResult walk =
      sonde::WalkStack(*g_publication, registers, sonde::StackBounds(), frames, kMaxFrames);
  Judge(walk, frames);
}

__attribute__((noinline, section("storm_spin"))) int Question(int value) {
  t_expected.caller = reinterpret_cast<uint64_t>(__builtin_return_address(0));
  t_expected.on = true;
  for (int i = 0; i < 20'000; ++i) asm volatile("" ::: "memory");
  t_expected.on = false;
  return value;
}

int Refuse(int value) { throw value; }

__attribute__((noinline, section("storm_work"))) int Work(Answer answer) {
  const int result = answer(Question);
  asm volatile("" ::: "memory");  // no tail call
  return result + 1;
}

void Throw(Answer answer) {
  try {
    answer(Refuse);
  } catch (int) {
    g_throws.fetch_add(1);
  }
}

void ArmTimer() {
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event._sigev_un._tid = static_cast<int>(syscall(SYS_gettid));
  const itimerspec period = {{0, 1'000'000}, {0, 1'000'000}};
  timer_t timer;
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) abort();
  timer_settime(timer, 0, &period, nullptr);
}

void WorkAndThrow(Answer answer) {
  for (int i = 0; i < 300 && !g_stop; ++i) {
    Work(answer);
    if (i % 8 == 0) Throw(answer);
  }
}

void UsePlugin(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) abort();
  t_expected.loaded_at = g_started;
  g_loads.fetch_add(1);
  WorkAndThrow(reinterpret_cast<Answer>(dlsym(handle, "PluginAnswer")));
  dlclose(handle);
}

void RunWorker(const std::string& one, const std::string& other) {
  ArmTimer();
  while (!g_stop) {
    UsePlugin(one);
    UsePlugin(other);
  }
}

// It may not load anything: another thread of the parent may have held the loader's lock.
[[noreturn]] void RunChild(uint32_t slot, Answer answer) {
  alarm(20);
  g_publication = &g_share->Join(slot, getpid());
  ArmTimer();
  WorkAndThrow(answer);
  _exit(g_wrong == 0 ? 0 : 1);
}

void ForkChildren(const std::string& plugin) {
  void* const handle = dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) abort();
  t_expected.loaded_at = g_started;
  const auto answer = reinterpret_cast<Answer>(dlsym(handle, "PluginAnswer"));
  for (uint32_t round = 0; !g_stop; ++round) {
    const pid_t child = fork();
    if (child == 0) RunChild(round % 8, answer);
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) g_bad_children.fetch_add(1);
    g_children.fetch_add(1);
    usleep(20'000);
  }
}

std::string Copy(const std::string& directory, const char* from, int number) {
  const std::string to = directory + "/plugin" + std::to_string(number) + ".so";
  std::filesystem::copy_file(from, to);
  return to;
}

void Handle(int signal, void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(signal, &action, nullptr);
}

int Report(const sonde::UnwindStatus& status) {
  const auto number = [](const std::atomic<uint64_t>& value) {
    return static_cast<unsigned long long>(value.load());
  };
  printf("%llu loads, %llu throws, %llu children; %llu refreshes, %llu chunks, %llu evicted\n",
         number(g_loads), number(g_throws), number(g_children), number(g_done),
         static_cast<unsigned long long>(status.chunks_built),
         static_cast<unsigned long long>(status.chunks_evicted));
  printf(
      "samples: %llu right, %llu cut, %llu before the tables could know, %llu WRONG, "
      "%llu elsewhere; %llu bad children\n",
      number(g_good), number(g_cut), number(g_early), number(g_wrong), number(g_elsewhere),
      number(g_bad_children));
  const bool ran = g_good > 100 && g_loads > 10 && g_children > 5 && g_throws > 10;
  if (!ran) printf("too little has happened to say anything\n");
  return ran && g_wrong == 0 && g_bad_children == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc >= 4 ? atoi(argv[3]) : 0;
  if (seconds < 1) {
    fprintf(stderr, "unwind_storm: expected PLUGIN OTHER_PLUGIN SECONDS [BUDGET_KIB]\n");
    return 2;
  }
  const size_t budget = argc > 4 ? strtoull(argv[4], nullptr, 10) << 10 : size_t{4} << 20;
  char directory[] = "/tmp/sonde_storm_XXXXXX";
  if (mkdtemp(directory) == nullptr) return 2;
  void* const shared = mmap(nullptr, sizeof(sonde::UnwindShare), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 2;
  g_share = static_cast<sonde::UnwindShare*>(shared);
  g_publication = &g_share->root;
  sonde::UnwindTables tables(g_share->root, budget, g_share);
  tables.Refresh();
  alarm(static_cast<unsigned>(seconds) + 60);  // stands still: killed
  Handle(SIGPROF, OnSample);
  std::vector<std::thread> threads;
  for (int i = 0; i < kWorkers; ++i) {
    threads.emplace_back(RunWorker, Copy(directory, argv[1], 2 * i),
                         Copy(directory, argv[2], 2 * i + 1));
  }
  threads.emplace_back(ForkChildren, Copy(directory, argv[1], 99));
  const time_t end = time(nullptr) + seconds;
  while (time(nullptr) < end) {
    const uint64_t number = g_started.fetch_add(1) + 1;
    tables.Refresh();
    g_done = number;
    for (int i = 0; i < 5; ++i) {
      tables.BuildMissed();
      usleep(1000);
    }
  }
  g_stop = true;
  for (std::thread& thread : threads) thread.join();
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return Report(tables.Status());
}
