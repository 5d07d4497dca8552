// SPDX-License-Identifier: Apache-2.0
// What detectors found: one store for all kinds. A finding keeps its id for as long as it is the
// same thing, also when its numbers change, and stays for kKeepEndedNs after it has ended.
//
// Agent thread only. Memory: at most kMaxFindings, each with at most kMaxFindingStacks stacks; when
// full, the one that ended first goes, and is counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sonde {

enum class FindingKind : uint8_t {
  kHotThread,
  kHotProcess,
  kCpuThrottled,
  kStuckThread,
  kDeadlock,
  kThreadLeak,
};
inline constexpr FindingKind kFindingKinds[] = {
    FindingKind::kHotThread,   FindingKind::kHotProcess, FindingKind::kCpuThrottled,
    FindingKind::kStuckThread, FindingKind::kDeadlock,   FindingKind::kThreadLeak};

// "hot_thread": in JSON and as a metric's label.
const char* FindingKindName(FindingKind kind);

// Worst last.
enum class Severity : uint8_t { kInfo, kWarning, kCritical };
const char* SeverityName(Severity severity);

struct FindingStack {
  std::string title;             // what it is: "94 % of its CPU time", "waits for …"
  double share = -1;             // of the finding's total, 0 … 1; negative: it has none
  std::vector<uint64_t> frames;  // frames[0] is a pc, the others are return addresses
  std::string synthetic_leaf;    // instead of frames: "[signal blocked]" and the like
};

// A function that CPU time goes through.
struct FindingFunction {
  uint64_t pc = 0;       // of one of its instructions
  double share = 0;      // of the finding's total, with all that it calls, 0 … 1
  double own_share = 0;  // in itself
};

struct FindingFact {
  std::string name;  // "cpu_seconds"
  std::string value;
};

struct Finding {
  std::string id;  // of MakeFindingId
  FindingKind kind = FindingKind::kHotThread;
  Severity severity = Severity::kWarning;
  int pid = 0;
  uint64_t since_ns = 0;  // CLOCK_MONOTONIC
  uint64_t until_ns = 0;  // 0: it goes on
  std::string sentence;   // one, plain, without a full stop
  std::string outcome;    // its end, after what is said of `functions`: "; it has ended"
  std::vector<FindingFact> facts;
  std::vector<FindingStack> stacks;
  // Those that most of it goes through first, the nearest to the leaf first (hot_functions.h).
  std::vector<FindingFunction> functions;
  std::string next;  // what to do; TARGET stands for the target
};

// Eight hexadecimal digits from what makes the finding the same thing: kind, pid, tid, start time …
std::string MakeFindingId(FindingKind kind, std::string_view identity);

class FindingStore {
 public:
  static constexpr size_t kMaxFindings = 128;
  static constexpr size_t kMaxFindingStacks = 8;
  static constexpr uint64_t kKeepEndedNs = 900'000'000'000;

  // New, or in place of the one with the same id, whose beginning stays.
  void Put(Finding finding);
  // Nothing happens when there is none, or when it has ended already.
  void End(const std::string& id, uint64_t now_ns);
  // Forgets what ended long ago.
  void Expire(uint64_t now_ns);

  [[nodiscard]] const Finding* Find(const std::string& id) const;
  // Going on before ended, worst first, then newest.
  [[nodiscard]] std::vector<const Finding*> Sorted() const;
  // Those that go on.
  [[nodiscard]] size_t CountOf(FindingKind kind) const;
  [[nodiscard]] uint64_t dropped() const { return dropped_; }

 private:
  void MakeRoom();

  std::map<std::string, Finding> findings_;
  uint64_t dropped_ = 0;
};

}  // namespace sonde
