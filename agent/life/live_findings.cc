// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_findings.h"

#include <algorithm>
#include <utility>

#include "agent/endpoints/text_util.h"
#include "agent/life/self.h"
#include "agent/life/small_reads.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"
#include "threads/thread_groups.h"

namespace sonde::life {
namespace {

constexpr uint64_t kLookNs = 1'000'000'000;
constexpr uint64_t kLookAtLocksNs = 2'000'000'000;
constexpr size_t kStacksShown = 5;

std::string PercentText(double share) {
  return std::to_string((static_cast<int>(share * 1000) + 5) / 10) + " %";
}

std::string CoresText(double cores) {
  const std::string text = FormatDecimal(cores);
  return text.substr(0, text.size() - 1);
}

std::string SecondsText(uint64_t ns) { return DurationText(static_cast<double>(ns) / 1e9); }

std::string ThreadText(const std::string& name, int tid) {
  return "thread " + name + " (tid " + std::to_string(tid) + ")";
}

std::string Number(uint64_t value) { return std::to_string(value); }

double ShareOf(uint64_t part_ns, uint64_t total_ns) {
  return total_ns > 0 ? static_cast<double>(part_ns) / static_cast<double>(total_ns) : 0;
}

void AddStack(const StackShare& from, uint64_t total_ns, Finding* to) {
  FindingStack stack;
  stack.share = ShareOf(from.cpu_ns, total_ns);
  stack.title = PercentText(stack.share) + " of its CPU time";
  if (from.frames.empty()) {
    stack.synthetic_leaf = "[other stacks]";
  } else if (const char* name = SyntheticFrameName(from.frames[0]); name != nullptr) {
    stack.synthetic_leaf = name;
  } else {
    stack.frames = from.frames;
  }
  to->stacks.push_back(std::move(stack));
}

std::string HotSentence(const HotEpisode& episode, uint64_t length_ns) {
  std::string text = ThreadText(episode.name, episode.key.tid);
  if (episode.key.pid != g_self.pid) text += " of pid " + std::to_string(episode.key.pid);
  text += episode.until_ns == 0 ? " has used " : " used ";
  return text + PercentText(episode.share()) + " of a core for " + SecondsText(length_ns);
}

const char* HotOutcome(const HotEpisode& episode) {
  if (episode.until_ns == 0) return "";
  return episode.ended ? "; it has ended" : "; it is calm again";
}

}  // namespace

LiveFindings::LiveFindings(const ConfigStore* config, CpuCollector* cpu, LiveThreads* threads)
    : config_(config),
      cpu_(cpu),
      threads_(threads),
      uses_(cpu),
      starts_(cpu, threads),
      stacks_(MonotonicNs(), [this](int pid, uint64_t pc) { return starts_.StartOf(pid, pc); }),
      locks_(g_self.pid, false, &store_),
      children_(cpu, &store_),
      thread_leaks_(cpu, threads, &store_, [this](int pid) { RememberMappings(pid); }),
      cgroup_(CgroupCpuDirectory()),
      started_ns_(MonotonicNs()) {
  cpu_->AddReader(&stacks_, 0);
  threads->SetLastSamples([this](int pid, int tid) { return stacks_.LastStackOf(pid, tid); });
}

LiveFindings::~LiveFindings() { cpu_->RemoveReader(&stacks_); }

// As it is now, since it may load more; once it has ended, as it was.
void LiveFindings::RememberMappings(int pid) {
  if (pid == g_self.pid || (mappings_.size() >= kMaxRemembered && !mappings_.contains(pid))) return;
  std::vector<Mapping> now =
      ParseMaps(ReadSmallFile("/proc/" + std::to_string(pid) + "/maps")).mappings;
  if (now.empty()) return;
  SetOwner(pid, &now);
  mappings_[pid] = std::move(now);
}

void LiveFindings::ForgetMappings() {
  std::set<int> wanted;
  for (const Finding* finding : store_.Sorted()) wanted.insert(finding->pid);
  std::erase_if(mappings_, [&](const auto& item) { return !wanted.contains(item.first); });
}

const std::vector<Mapping>* LiveFindings::MappingsOf(int pid) const {
  const auto known = mappings_.find(pid);
  return known != mappings_.end() ? &known->second : nullptr;
}

void LiveFindings::AddStacks(const ThreadKey& key, Finding* to) const {
  const std::vector<StackShare> shares = stacks_.StacksOf(key.pid, key.tid);
  uint64_t total_ns = 0;
  for (const StackShare& share : shares) total_ns += share.cpu_ns;
  for (size_t i = 0; i < std::min(shares.size(), kStacksShown); ++i) {
    AddStack(shares[i], total_ns, to);
  }
  std::vector<FunctionShare> functions = stacks_.FunctionsOf(key.pid, key.tid);
  std::erase_if(functions, [](const FunctionShare& function) {
    return SyntheticFrameName(function.pc) != nullptr;
  });
  for (const FunctionShare& function : TellingFunctions(std::move(functions), total_ns)) {
    to->functions.push_back(
        {function.pc, ShareOf(function.cpu_ns, total_ns), ShareOf(function.own_ns, total_ns)});
  }
}

void LiveFindings::PutHot(const HotEpisode& episode) {
  const ThreadKey& key = episode.key;
  RememberMappings(key.pid);
  stacks_.Hold(key.pid, key.tid, episode.since_ns);
  const uint64_t end_ns = episode.until_ns != 0 ? episode.until_ns : episode.last_ns;
  const uint64_t length_ns = end_ns - episode.since_ns;
  Finding finding;
  finding.id = MakeFindingId(FindingKind::kHotThread, Number(key.pid) + "/" + Number(key.tid) +
                                                          "/" + Number(episode.since_ns));
  finding.kind = FindingKind::kHotThread;
  finding.pid = key.pid;
  finding.since_ns = episode.since_ns;
  finding.until_ns = episode.until_ns;
  finding.sentence = HotSentence(episode, length_ns);
  finding.outcome = HotOutcome(episode);
  finding.facts = {{"thread", episode.name},
                   {"tid", Number(key.tid)},
                   {"share_of_a_core", FormatDecimal(episode.share())},
                   {"cpu_seconds", FormatDecimal(static_cast<double>(episode.cpu_ns) / 1e9)},
                   {"thread_ended", episode.ended ? "yes" : "no"}};
  AddStacks(key, &finding);
  finding.next = "sonde cpu TARGET --by thread   |   sonde threads TARGET";
  store_.Put(std::move(finding));
  if (episode.until_ns == 0) return;
  stacks_.Release(key.pid, key.tid);
  if (episode.ended) starts_.Forget(key.pid);
}

void LiveFindings::LookForHotThreads(uint64_t now_ns) {
  const Settings& settings = config_->current();
  const double share = static_cast<double>(settings.hot_percent) / 100;
  hot_.Configure({share, static_cast<uint64_t>(settings.hot_after_ms) * 1'000'000});
  const std::vector<ThreadUse> uses = uses_.Read(now_ns, share / 2);
  for (const HotEpisode& episode : hot_.Observe(uses)) PutHot(episode);
}

void LiveFindings::PutPressure(FindingKind kind, bool found, const CpuPressure& pressure,
                               uint64_t now_ns) {
  const std::string id = MakeFindingId(kind, Number(started_ns_));
  if (!found) return store_.End(id, now_ns);
  Finding finding;
  finding.id = id;
  finding.kind = kind;
  finding.pid = g_self.pid;
  finding.since_ns = pressure.since_ns;
  const Finding* known = store_.Find(id);
  if (known != nullptr && known->until_ns != 0) finding.since_ns = known->since_ns;
  const std::string of_limit =
      CoresText(pressure.cores) + " of its " + CoresText(pressure.limit_cores) + " cores";
  finding.sentence = kind == FindingKind::kHotProcess
                         ? "the container uses " + of_limit
                         : "the container was throttled in " +
                               PercentText(pressure.throttled_share) + " of the periods, using " +
                               of_limit + " on average";
  finding.facts = {{"cores", FormatDecimal(pressure.cores)},
                   {"limit_cores", FormatDecimal(pressure.limit_cores)},
                   {"throttled_share", FormatDecimal(pressure.throttled_share)},
                   {"throttled_seconds", FormatDecimal(pressure.throttled_seconds)}};
  finding.next = "sonde cpu TARGET";
  store_.Put(std::move(finding));
}

void LiveFindings::LookForPressure(uint64_t now_ns) {
  const auto reading = cgroup_.Read(now_ns);
  if (!reading) return;
  const uint64_t min_ns = static_cast<uint64_t>(config_->current().hot_after_ms) * 1'000'000;
  pressure_.Configure({.min_ns = min_ns});
  const CpuPressure pressure = pressure_.Observe(now_ns, *reading);
  PutPressure(FindingKind::kHotProcess, pressure.at_limit, pressure, now_ns);
  PutPressure(FindingKind::kCpuThrottled, pressure.throttled, pressure, now_ns);
}

void LiveFindings::LookForDeadlocks(uint64_t now_ns) {
  const uint64_t stuck_after_ns =
      static_cast<uint64_t>(config_->current().stuck_after_ms) * 1'000'000;
  locks_.Look(threads_, stuck_after_ns, now_ns);
  children_.Look(stuck_after_ns, now_ns);
}

void LiveFindings::Tick(const char* why_off, uint64_t now_ns) {
  why_off_ = why_off;
  if (why_off != nullptr || now_ns < next_ns_) return;
  next_ns_ = now_ns + kLookNs;
  LookForHotThreads(now_ns);
  LookForPressure(now_ns);
  store_.Expire(now_ns);
  if (!mappings_.empty()) ForgetMappings();
  if (now_ns < next_locks_ns_) return;
  next_locks_ns_ = now_ns + kLookAtLocksNs;
  LookForDeadlocks(now_ns);
}

std::vector<std::string> LiveFindings::NotSearched() const {
  std::vector<std::string> sentences;
  if (why_off_ != nullptr) sentences.push_back(std::string("nothing is searched now: ") + why_off_);
  if (cpu_->effective_hz() == 0) {
    sentences.push_back("CPU is not sampled: hot threads are found, but without their stacks");
  }
  if (!cgroup_.found()) sentences.push_back("the container's CPU limit cannot be read");
  sentences.push_back(
      "deadlocks: of locks other than pthread's (absl, Rust, Go, std::atomic::wait), of readers of "
      "read-write locks, which do not know who has them, and between processes");
  sentences.push_back("thread leaks: of threads by raw clone");
  if (thread_leaks_.refused() > 0) {
    sentences.push_back("thread leaks of " + Number(thread_leaks_.refused()) +
                        " child processes, of whose threads the kernel does not tell the CPU time");
  }
  if (children_.refused() > 0) {
    sentences.push_back("deadlocks and stuck threads of " + Number(children_.refused()) +
                        " child processes, which the kernel does not let this process read");
  }
  return sentences;
}

}  // namespace sonde::life
