// SPDX-License-Identifier: Apache-2.0
#include "agent/life/agent.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "agent/config/config_store.h"
#include "agent/endpoints/context.h"
#include "agent/endpoints/endpoints.h"
#include "agent/http/server.h"
#include "agent/http/socket.h"
#include "agent/life/agent_thread.h"
#include "agent/life/crash_guard.h"
#include "agent/life/guard_rails.h"
#include "agent/life/hook_switch.h"
#include "agent/life/host_signal.h"
#include "agent/life/listeners.h"
#include "agent/life/live_contention.h"
#include "agent/life/live_heap.h"
#include "agent/life/live_sources.h"
#include "agent/life/process_end.h"
#include "agent/life/region_files.h"
#include "agent/life/run_dir.h"
#include "agent/life/self.h"
#include "agent/life/self_timer.h"
#include "agent/life/threads.h"
#include "agent/life/timer_share.h"
#include "agent/life/tree.h"
#include "agent/life/tree_keeper.h"
#include "agent/life/unwind_of_tree.h"
#include "agent/life/wall_clock.h"
#include "agent/life/yield.h"
#include "agent/runtime/arena.h"
#include "agent/runtime/resolve.h"
#include "collectors/cpu.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/signal_block.h"
#include "collectors/safe/sys.h"
#include "collectors/stack_layout.h"

namespace sonde::life {
namespace {

constexpr uint64_t kWithoutWakeNs =
    40'000'000;  // how long a host thread may have to wait for us then

// Where threads unblock signals; a symbol's length is not known, and libc's are short.
void FindUnblockingCode() {
  constexpr uintptr_t kLength = 320;
  PcRange ranges[kMaxUnblockRanges];
  uint32_t count = 0;
  for (const char* name : {"pthread_sigmask", "sigprocmask", "sigsetmask", "sigrelse", "setcontext",
                           "swapcontext", "siglongjmp"}) {
    const auto at = reinterpret_cast<uintptr_t>(runtime::NextSymbol(name));
    if (at != 0) ranges[count++] = {at, at + kLength};
  }
  SetUnblockRanges(ranges, count);
}

// POSIX_CPU_TIMERS_TASK_WORK: before it, an expiry may interrupt a system call (traps 13).
bool KernelExpiresTimersInTheirThread() {
  utsname names{};
  if (sys::Failed(sys::Call(SYS_uname, &names))) return false;
  char* end = nullptr;
  const long major = std::strtol(names.release, &end, 10);
  const long minor = *end == '.' ? std::strtol(end + 1, nullptr, 10) : 0;
  return major > 5 || (major == 5 && minor >= 10);
}

// What requests have set lasts as long as the process: the agent's thread may have to pause for the
// service (yield.h), or begin anew for want of memory. A child that takes the tree over goes on
// with it.
constinit ConfigRequests g_requests{};

class Agent {
 public:
  Agent();
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  void Run();

 private:
  void ApplySettings();
  void ConfigureHeap();
  void ConfigureCreators(uint64_t now_ns);
  void ConfigureContention();
  void ConfigureWall(uint64_t now_ns);
  [[nodiscard]] const char* WhyOff() const;
  void KeepSignal();
  void PruneDirectory(uint64_t now_ns);
  void Tick(uint64_t now_ns);
  [[nodiscard]] bool MainThreadHasLeft(uint64_t now_ns);
  void StayDormant();
  void FinishCaptures();
  [[nodiscard]] bool WakesBySignal() const {
    return g_poll_signal.load(std::memory_order_relaxed) != 0;
  }
  [[nodiscard]] int WantedHz() const;
  [[nodiscard]] std::string Trouble(int signal) const;
  [[nodiscard]] int64_t NextMs(uint64_t now_ns) const;

  ConfigStore config_;
  CpuCollector cpu_;
  GuardRails rails_;
  LiveSources sources_;
  Context context_;
  Endpoints endpoints_;
  http::Server server_;
  Listeners listeners_;
  TreeKeeper tree_;
  SelfArming self_arming_;
  TimerShare timer_share_;
  CrashGuard crash_guard_;
  MainThreadWatch main_thread_;
  bool kernel_ok_ = KernelExpiresTimersInTheirThread();
  uint64_t next_leader_check_ns_ = 0;
  uint64_t next_prune_ns_ = 0;
  int wanted_hz_ = -1;
  int signal_ = 0;
};

Agent::Agent()
    : config_(g_self.environment, &g_requests),
      cpu_(TreeRegion(), TreeProcess(), sys::Gettid(),
           TheUnwindTables(config_.current().memory_limit_bytes), &TreePeriodNs()),
      rails_(sys::Gettid()),
      sources_(&config_, &cpu_, &rails_, sys::Gettid()),
      context_(&sources_, &config_),
      endpoints_(&context_),
      server_(&endpoints_),
      listeners_(&server_, &context_.listeners) {
  context_.inside_container = InsideContainer();
  runtime::ArenaSetCap(static_cast<size_t>(config_.current().memory_limit_bytes) / 2);
  StackLayout layout = FindStackLayout(ProcessMemory());
  layout.main_frames = g_self.main_frames_end;
  SetStackLayout(layout);
  crash_guard_.Open(sources_.executable(), g_self.took_over, UnixMs());
  // As soon as it is known that it may: a service that starts makes what lives longest. Whose stack
  // needs tables waits for them.
  ConfigureHeap();
  FindUnblockingCode();
  http::SetPollSignal(&g_poll_signal, &g_polling);
  // Held already by a thread that was paused, or by the parent of a child that took over.
  g_poll_signal.store(g_our_signal.load(std::memory_order_acquire), std::memory_order_seq_cst);
  SetUpCpuHandler({TreeRegion(), &DefaultAction, &TreePeriodNs(), &HurryAgentThread});
  cpu_.BuildTables();
  listeners_.Open(config_.current(), context_.token.configured(), http::NowMs());
}

Agent::~Agent() {
  g_polling.store(false, std::memory_order_seq_cst);
  SetCollecting(false);
  g_our_port.store(0, std::memory_order_release);
  SetTreePort(0);
}

int Agent::WantedHz() const {
  const Settings& settings = config_.current();
  const bool on = settings.enable && settings.cpu && !sources_.off() && kernel_ok_ &&
                  crash_guard_.verdict().empty();
  return on ? static_cast<int>(settings.cpu_hz) : 0;
}

std::string Agent::Trouble(int signal) const {
  if (!crash_guard_.verdict().empty()) return crash_guard_.verdict();
  if (!kernel_ok_) return "off: this kernel is older than 5.10 and would interrupt system calls";
  if (signal == 0) return "off: the service uses every signal that could be sampled with";
  return "";
}

// The host may have taken our signal: through a hook (we hold none now), or round libc (the kernel
// says so).
void Agent::KeepSignal() {
  if (SignalWasTaken()) VacateSignal(g_our_signal.load(std::memory_order_relaxed));
  if (g_our_signal.load(std::memory_order_acquire) == 0) {
    const int taken = TakeSignal(&CpuSignalHandler, static_cast<int>(config_.current().cpu_signal));
    g_poll_signal.store(taken, std::memory_order_seq_cst);
  }
  const int now = g_our_signal.load(std::memory_order_acquire);
  sources_.SetTrouble(Trouble(now));
  if (now == signal_) return;
  signal_ = now;
  wanted_hz_ = -1;
}

// Why nothing is collected or looked for, whatever its own setting; null: it may be.
const char* Agent::WhyOff() const {
  if (!crash_guard_.verdict().empty()) return "crash guard";
  if (!config_.current().enable) return "SONDE_ENABLE=off";
  return sources_.off() ? "kill switch" : nullptr;
}

void Agent::ConfigureHeap() {
  const Settings& settings = config_.current();
  const char* why_off = WhyOff();
  if (why_off == nullptr && !settings.heap) why_off = "SONDE_HEAP=off";
  const auto interval = static_cast<uint32_t>(settings.heap_interval_bytes);
  sources_.live_heap().Configure(why_off == nullptr ? interval : 0, why_off);
}

void Agent::ConfigureCreators(uint64_t now_ns) {
  const Settings& settings = config_.current();
  const char* why_off = WhyOff();
  if (why_off == nullptr && !settings.thread_stacks) why_off = "SONDE_THREAD_STACKS=off";
  sources_.live_creators().Configure(why_off);
  sources_.live_creators().Tick(static_cast<uint64_t>(settings.thread_leak_after_ms) * 1'000'000,
                                now_ns);
}

void Agent::ConfigureContention() {
  const char* why_off = WhyOff();
  if (why_off == nullptr && !config_.current().locks) {
    why_off =
        "SONDE_LOCKS=off; switch it on with `sonde set TARGET locks=on --for 10m`, POST "
        "/debug/sonde/config with locks=on, or SONDE_LOCKS=on in the environment";
  }
  sources_.live_contention().Configure(why_off);
}

void Agent::ConfigureWall(uint64_t now_ns) {
  const char* why_off = WhyOff();
  if (why_off == nullptr && !config_.current().wall) {
    why_off =
        "SONDE_WALL=off; switch it on with `sonde set TARGET wall=on`, POST /debug/sonde/config "
        "with wall=on, or SONDE_WALL=on in the environment";
  }
  sources_.live_wall().Configure(why_off, now_ns);
}

void Agent::ApplySettings() {
  ConfigureHeap();
  ConfigureContention();
  const int hz = WantedHz();
  if (hz == wanted_hz_) return;
  wanted_hz_ = hz;
  cpu_.Configure(hz, signal_);
  SetCollecting(hz != 0);
}

void Agent::Tick(uint64_t now_ns) {
  const InsideMark inside;
  BeatTree(now_ns);
  if (g_yield_port.exchange(false, std::memory_order_acq_rel) || TreePortIsWanted())
    listeners_.YieldPort();
  config_.Tick(http::NowMs());
  KeepSignal();
  if (HostReadsAnySignal()) cpu_.SpareThreadsThatBlock();
  ApplySettings();
  ConfigureCreators(now_ns);
  ConfigureWall(now_ns);
  sources_.NoteSampling(signal_ == 0, now_ns);
  timer_share_.Tick(config_.current().max_timers, cpu_.sweep().timers_refused(), now_ns);
  if (TakeThreadNews()) cpu_.ExpectNewThreads(now_ns);
  cpu_.Tick(now_ns);
  self_arming_.Tick(cpu_.sweep().threads_are_short_lived(), ThreadsMade(), now_ns);
  AskForThreadNews(cpu_.sweep().is_settled());
  sources_.LookForFindings(WhyOff(), now_ns);
  if (rails_.Tick(now_ns, cpu_.totals().samples,
                  static_cast<int>(config_.current().cpu_limit_percent))) {
    cpu_.SetRateDivisor(rails_.divisor());
  }
  listeners_.Tick(http::NowMs());
  tree_.Tick(now_ns);
  crash_guard_.Tick(UnixMs());
  RefreshClock(TreeRegion());
  PruneDirectory(now_ns);
}

// Not at once: a service that starts is busy.
void Agent::PruneDirectory(uint64_t now_ns) {
  constexpr uint64_t kFirstNs = 5'000'000'000;
  constexpr uint64_t kAgainNs = 600'000'000'000;
  const Settings& settings = config_.current();
  if (next_prune_ns_ == 0) next_prune_ns_ = now_ns + kFirstNs;
  if (now_ns < next_prune_ns_ || settings.dir.data[0] == 0) return;
  next_prune_ns_ = now_ns + kAgainNs;
  PruneRegionFiles(settings.dir.data, {settings.dir_keep, settings.dir_keep_ms});
}

int64_t Agent::NextMs(uint64_t now_ns) const {
  const uint64_t wanted_ns = std::min(cpu_.next_ns(), sources_.next_wall_ns());
  uint64_t next_ns = std::clamp(wanted_ns, now_ns + 1'000'000, now_ns + 1'000'000'000);
  if (!WakesBySignal()) next_ns = std::min(next_ns, now_ns + kWithoutWakeNs);
  return http::NowMs() + static_cast<int64_t>((next_ns - now_ns + 999'999) / 1'000'000);
}

// Main may leave without our hook seeing it (pthread_cancel). libc then waits for the last thread
// to end the process, and counts ours.
bool Agent::MainThreadHasLeft(uint64_t now_ns) {
  if (now_ns < next_leader_check_ns_) return false;
  next_leader_check_ns_ = now_ns + 1'000'000'000;
  return main_thread_.HasLeft(g_self.pid);
}

void Agent::StayDormant() { AgentCouldNotStart(); }

void Agent::Run() {
  while (!AgentMustStop()) {
    const uint64_t now_ns = MonotonicNs();
    if (MainThreadHasLeft(now_ns)) return StayDormant();
    Tick(now_ns);
    SetAgentReady();
    server_.Wait(NextMs(now_ns));
  }
  FinishCaptures();
}

// The thread must stop, and its sockets go with it: who waits gets what there is, without names,
// for which a host thread that waits for us has no time.
void Agent::FinishCaptures() {
  constexpr int64_t kPatienceMs = 20;
  context_.in_a_hurry = true;
  server_.FinishEarly(http::NowMs() + kPatienceMs);
}

// For want of memory, most likely: its own limit, or the host's. A host gets over a moment without
// address space, and so does its agent; the longer it lasts, the seldomer it tries.
constexpr int kMostFailures = 100;
constexpr uint64_t kFirstPauseNs = 1'000'000'000;
constexpr int kMostDoublings = 6;
constexpr uint64_t kForgottenAfterNs = 60'000'000'000;  // of running well

// False: it failed, and may be tried again.
bool RunOnce() {
  try {
    Agent agent;
    agent.Run();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void PauseAfterFailure(int failures) {
  constexpr timespec kStep{0, 50'000'000};
  const uint64_t end_ns = MonotonicNs() + (kFirstPauseNs << std::min(failures, kMostDoublings));
  while (!AgentMustStop() && MonotonicNs() < end_ns) sys::Call(SYS_nanosleep, &kStep, 0L);
}

}  // namespace

void RunAgent() {
  for (int failures = 0; failures < kMostFailures; ++failures) {
    const uint64_t start_ns = MonotonicNs();
    if (RunOnce()) return;
    if (MonotonicNs() - start_ns > kForgottenAfterNs) failures = 0;
    PauseAfterFailure(failures);
    if (AgentMustStop()) return;
  }
  AgentCouldNotStart();
}

void AgentAfterFork() {
  UnwindTablesAfterFork();
  LiveHeapAfterFork();
  LiveCreatorsAfterFork();
  LiveContentionAfterFork();
}

void AgentCouldNotStart() {
  SetCollecting(false);
  StopHeap();
  StopContention();
  StopHooks();
  StopAllTimers(StopReason::kOff);
  ReleaseSignal();
  g_phase.store(Phase::kDormant, std::memory_order_release);
}

}  // namespace sonde::life
