// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_cpu.h"

#include <sys/auxv.h>

#include <algorithm>
#include <utility>

#include "agent/endpoints/own_memory.h"
#include "agent/endpoints/perf_maps.h"
#include "agent/life/self.h"
#include "agent/life/small_reads.h"
#include "agent/life/tree.h"
#include "agent/life/wall_clock.h"
#include "collectors/past.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/region_mappings.h"
#include "collectors/safe/region_ring.h"
#include "profile/unpacked_program.h"
#include "recording/cpu_window_maker.h"
#include "recording/renamed_code.h"

namespace sonde::life {
namespace {

constexpr size_t kMaxBuildIds = 4096;
constexpr uint64_t kRoundNs = 10'000'000'000;  // how often the mappings of a process are read
constexpr size_t kReadsAtOnce = 8;             // of children, in one fold

std::string CommandOf(int pid) {
  std::string command = ReadSmallFile("/proc/" + std::to_string(pid) + "/comm");
  if (!command.empty() && command.back() == '\n') command.pop_back();
  return command;
}

std::string FileKey(const Mapping& mapping) {
  return mapping.device + ":" + std::to_string(mapping.inode) + ":" + mapping.path;
}

Result<std::unique_ptr<ByteSource>> OpenMapOf(int pid) { return OpenPerfMapOf(pid, g_self.pid); }

}  // namespace

// Where objects displaced each other while it ran, a piece ends and another begins.
class LiveCapture : public CpuCapture {
 public:
  LiveCapture(LiveCpu* owner, int hz)
      : owner_(owner), capture_(MonotonicNs(), &owner->capture_memory_) {
    owner_->captures_.reserve(owner_->captures_.size() + 1);
    owner_->cpu_->AddReader(&capture_, hz);
    owner_->captures_.push_back(this);
    rate_hz_ = owner_->cpu_->effective_hz();
  }
  ~LiveCapture() override {
    std::erase(owner_->captures_, this);
    owner_->cpu_->RemoveReader(&capture_);
  }
  LiveCapture(const LiveCapture&) = delete;
  LiveCapture& operator=(const LiveCapture&) = delete;

  [[nodiscard]] CpuWindow Collect() override {
    owner_->cpu_->FoldNow();
    CpuWindowMaker maker(owner_->history_, UtcOffset(), g_self.pid);
    for (const auto& piece : capture_.pieces()) maker.AddPiece(*piece);
    const uint64_t from_ns = capture_.pieces().front()->from_ns;
    const uint64_t to_ns = capture_.pieces().back()->to_ns;
    const std::vector<Gap> gaps = owner_->coverage_.GapsIn(from_ns, to_ns);
    maker.AddGaps(gaps);
    CpuWindow window = maker.Take();
    window.covered_ns = static_cast<int64_t>(to_ns - from_ns - TotalNs(gaps));
    window.rate_hz = std::max(rate_hz_, owner_->cpu_->effective_hz());
    return window;
  }

  void CutHere() { capture_.Cut(); }

 private:
  LiveCpu* const owner_;
  Capture capture_;
  int rate_hz_ = 0;
};

LiveCpu::LiveCpu(CpuCollector* cpu, std::string executable, size_t max_bytes)
    : cpu_(cpu),
      executable_(std::move(executable)),
      capture_memory_(max_bytes),
      coverage_(MonotonicNs()),
      recorder_(TreeRegion(), &coverage_, MonotonicNs(), {.open_bytes = max_bytes / 2}) {
  cpu_->AddReader(&recorder_, 0);
  cpu_->AddReader(&active_, 0);
  cpu_->SetWatcher(this);
}

LiveCpu::~LiveCpu() {
  cpu_->SetWatcher(nullptr);
  cpu_->RemoveReader(&active_);
  cpu_->RemoveReader(&recorder_);
  recorder_.Flush();
}

void LiveCpu::SetSampling(GapReason why_not, uint64_t now_ns) {
  coverage_.Set(why_not, now_ns);
  recorder_.SetRate(static_cast<uint32_t>(cpu_->effective_hz()));
}

// True: an address has another object than before.
bool LiveCpu::ReadMappings(int pid, uint64_t now_ns) {
  const bool own = pid == g_self.pid;
  const std::string text = ReadSmallFile("/proc/" + std::to_string(pid) + "/maps");
  std::vector<Mapping> mappings = ParseMaps(text).mappings;
  const std::string command = CommandOf(pid);
  if (mappings.empty()) {  // it has ended
    if (!history_.Knows(pid)) history_.Inherit(pid, command, g_self.pid);
    return false;
  }
  if (own) FindUnpackedProgram(getauxval(AT_PHDR), OwnMemoryReader(), executable_, &mappings);
  // Started as `ld.so PROGRAM`, /proc/self/exe is the loader; see MappingsOf().
  if (!own || !MoveMainFirst(getauxval(AT_PHDR), &mappings)) MoveMainFirst(executable_, &mappings);
  SetOwner(pid, &mappings);
  for (Mapping& mapping : mappings) {
    const auto known = build_ids_.find(FileKey(mapping));
    if (known != build_ids_.end()) mapping.build_id = known->second;
  }
  AddBuildIds(own ? OwnMemoryReader() : MemoryReader(), &mappings);
  if (build_ids_.size() > kMaxBuildIds) build_ids_.clear();
  for (const Mapping& mapping : mappings) {
    if (!mapping.build_id.empty() && mapping.inode != 0)
      build_ids_.emplace(FileKey(mapping), mapping.build_id);
  }
  store_ = true;
  return history_.Update(pid, command, std::move(mappings), now_ns);
}

void LiveCpu::BeforeFold(uint64_t now_ns, bool changed) {
  objects_changed_ |= changed;
  displaced_ = false;
  if (now_ns >= next_round_ns_) {
    next_round_ns_ = now_ns + kRoundNs;
    due_.insert(active_.pids.begin(), active_.pids.end());
    due_.erase(g_self.pid);
    active_.pids.clear();
    objects_changed_ = true;
    Forget();
  }
  if (objects_changed_) displaced_ |= ReadMappings(g_self.pid, now_ns);
  displaced_ |= ReadSomeAgain(now_ns);
  if (displaced_) KeepApart();
}

bool LiveCpu::ReadSomeAgain(uint64_t now_ns) {
  bool displaced = false;
  for (size_t i = 0; i < kReadsAtOnce && !due_.empty(); ++i) {
    displaced |= ReadMappings(*due_.begin(), now_ns);
    due_.erase(due_.begin());
  }
  return displaced;
}

void LiveCpu::AfterFold(uint64_t now_ns, bool changed) {
  objects_changed_ = changed;
  if (!changed) history_.Unchanged(g_self.pid, now_ns);
  if (displaced_) KeepApart();
  ReadNewProcesses(now_ns);
  if (recorder_.step_start_ns() != step_start_ns_) LookAtPerfMaps(Look::kStepEnded, now_ns);
  step_start_ns_ = recorder_.step_start_ns();
  if (!store_) return;
  store_ = false;
  const std::string text = history_.Write();
  StoreMappings(TreeRegion(), text.data(), text.size());
}

// As soon as they are seen: they may live for a moment only.
void LiveCpu::ReadNewProcesses(uint64_t now_ns) {
  for (const int pid : active_.pids) {
    if (!history_.Knows(pid)) ReadMappings(pid, now_ns);
  }
}

// A file's size and its last bytes, of each process that has such code, however long the file is.
void LiveCpu::LookAtPerfMaps(Look look, uint64_t now_ns) {
  for (const int pid : history_.WithGeneratedCode()) {
    const auto map = OpenMapOf(pid);
    if (!map) continue;
    PerfMapHistory* const known = history_.PerfMapOf(pid);
    if (look == Look::kStepEnded) {
      known->Note(**map, now_ns);
    } else {
      known->Check(**map, now_ns);
    }
  }
}

void LiveCpu::KeepApart() {
  recorder_.CloseStep();
  for (LiveCapture* capture : captures_) capture->CutHere();
}

// Nobody can ask about what was before the oldest step.
void LiveCpu::Forget() {
  RingCursor cursor = OldestStep(TreeRegion());
  std::vector<uint8_t> bytes(MaxStepBytes(TreeRegion()));
  RingStep oldest;
  if (ReadStep(TreeRegion(), &cursor, &oldest, bytes.data()) == RingRead::kStep)
    history_.Forget(oldest.start_ns);
}

std::unique_ptr<CpuCapture> LiveCpu::OpenCapture(int rate_hz) {
  return std::make_unique<LiveCapture>(this, rate_hz);
}

CpuWindow LiveCpu::Past(int64_t from_unix_ns, int64_t to_unix_ns) {
  cpu_->FoldNow();
  recorder_.Flush();
  LookAtPerfMaps(Look::kBetweenSteps, MonotonicNs());
  std::vector<uint64_t> cuts = history_.Changes();
  const auto read = [&] {
    return ReadPast(TreeRegion(), MonotonicOf(from_unix_ns), MonotonicOf(to_unix_ns),
                    capture_memory_.max_bytes(), cuts);
  };
  sonde::Past past = read();
  const std::vector<uint64_t> renamed = CutsOfRenamedCode(past, history_, OpenMapOf);
  if (!renamed.empty()) {
    cuts.insert(cuts.end(), renamed.begin(), renamed.end());
    std::ranges::sort(cuts);
    past = {};  // room for the next
    past = read();
  }
  return WindowOf(past, history_, UtcOffset(), g_self.pid);
}

sonde::Past LiveCpu::PastCounts(uint64_t from_ns, uint64_t to_ns) {
  cpu_->FoldNow();
  recorder_.Flush();
  return ReadPast(TreeRegion(), from_ns, to_ns, capture_memory_.max_bytes());
}

size_t LiveCpu::recorder_bytes() const {
  return recorder_.memory_bytes() + history_.memory_bytes();
}

}  // namespace sonde::life
