// SPDX-License-Identifier: Apache-2.0
// CPU samples for the endpoints: captures of now, and the recording of the last minutes. Owns what
// makes both tell the truth: the recorder, when sampling was on, and which object lay where when.
// Agent thread only. Memory: the recorder's open step, `max_bytes` for all captures together and
// twice as much again while one is answered, the history of mappings (profile/address_history.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/endpoints/sources.h"
#include "collectors/coverage.h"
#include "collectors/cpu.h"
#include "collectors/fold_capture.h"
#include "collectors/fold_recorder.h"
#include "collectors/past.h"
#include "profile/address_history.h"
#include "profile/cpu_window.h"

namespace sonde::life {

class LiveCapture;

class LiveCpu : private FoldWatcher {
 public:
  // `cpu` outlives it.
  LiveCpu(CpuCollector* cpu, std::string executable, size_t max_bytes);
  ~LiveCpu() override;
  LiveCpu(const LiveCpu&) = delete;
  LiveCpu& operator=(const LiveCpu&) = delete;

  // Whether sampling is on; why not. Call it whenever it may have changed.
  void SetSampling(GapReason why_not, uint64_t now_ns);

  [[nodiscard]] std::unique_ptr<CpuCapture> OpenCapture(int rate_hz);
  [[nodiscard]] CpuWindow Past(int64_t from_unix_ns, int64_t to_unix_ns);
  // Everything that was counted then, not by what was mapped when; times of CLOCK_MONOTONIC.
  [[nodiscard]] sonde::Past PastCounts(uint64_t from_ns, uint64_t to_ns);
  // Of the past: the open step, and which object lay where.
  [[nodiscard]] size_t recorder_bytes() const;
  // For what the fold does not see.
  [[nodiscard]] FoldSink* recorder() { return &recorder_; }
  [[nodiscard]] const CaptureMemory& capture_memory() const { return capture_memory_; }

 private:
  friend class LiveCapture;

  // Which processes used CPU.
  class Active : public FoldSink {
   public:
    void OnDelta(const FoldDelta& delta) override { pids.insert(delta.thread.pid); }
    void OnLost(Kind, DropReason, uint64_t, uint64_t) override {}
    void OnFoldEnd(uint64_t) override {}
    std::set<int> pids;
  };
  void BeforeFold(uint64_t now_ns, bool changed) override;
  void AfterFold(uint64_t now_ns, bool changed) override;
  bool ReadMappings(int pid, uint64_t now_ns);
  void ReadNewProcesses(uint64_t now_ns);
  bool ReadSomeAgain(uint64_t now_ns);
  enum class Look { kStepEnded, kBetweenSteps };
  void LookAtPerfMaps(Look look, uint64_t now_ns);
  void KeepApart();
  void Forget();

  CpuCollector* const cpu_;
  const std::string executable_;
  CaptureMemory capture_memory_;
  Coverage coverage_;
  Recorder recorder_;
  Active active_;
  AddressHistory history_;
  std::map<std::string, std::string> build_ids_;  // by file, of mappings seen lately
  std::vector<LiveCapture*> captures_;
  std::set<int> due_;  // processes whose mappings are to be read again
  uint64_t next_round_ns_ = 0;
  uint64_t step_start_ns_ = 0;  // the recorder's, when perf maps were looked at
  bool objects_changed_ = true;
  bool displaced_ = false;  // in the fold that is under way
  bool store_ = true;       // the region has not what is known
};

}  // namespace sonde::life
