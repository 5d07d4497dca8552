// SPDX-License-Identifier: Apache-2.0
#include "collectors/findings.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace sonde {

const char* FindingKindName(FindingKind kind) {
  switch (kind) {
    case FindingKind::kHotThread:
      return "hot_thread";
    case FindingKind::kHotProcess:
      return "hot_process";
    case FindingKind::kCpuThrottled:
      return "cpu_throttled";
    case FindingKind::kStuckThread:
      return "stuck_thread";
    case FindingKind::kDeadlock:
      return "deadlock";
    case FindingKind::kThreadLeak:
      return "thread_leak";
  }
  return "unknown";
}

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kCritical:
      return "critical";
  }
  return "unknown";
}

// FNV-1a.
std::string MakeFindingId(FindingKind kind, std::string_view identity) {
  uint32_t hash = 2166136261U ^ static_cast<uint32_t>(kind);
  for (const char c : identity) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
  std::string id;
  for (int shift = 28; shift >= 0; shift -= 4) id += "0123456789abcdef"[hash >> shift & 15];
  return id;
}

void FindingStore::MakeRoom() {
  auto oldest = findings_.end();
  for (auto it = findings_.begin(); it != findings_.end(); ++it) {
    if (it->second.until_ns == 0) continue;
    if (oldest == findings_.end() || it->second.until_ns < oldest->second.until_ns) oldest = it;
  }
  ++dropped_;
  if (oldest != findings_.end()) findings_.erase(oldest);
}

void FindingStore::Put(Finding finding) {
  if (finding.stacks.size() > kMaxFindingStacks) finding.stacks.resize(kMaxFindingStacks);
  const auto known = findings_.find(finding.id);
  if (known != findings_.end()) {
    finding.since_ns = std::min(finding.since_ns, known->second.since_ns);
    known->second = std::move(finding);
    return;
  }
  if (findings_.size() >= kMaxFindings) MakeRoom();
  if (findings_.size() < kMaxFindings) findings_.emplace(finding.id, std::move(finding));
}

void FindingStore::End(const std::string& id, uint64_t now_ns) {
  const auto known = findings_.find(id);
  if (known != findings_.end() && known->second.until_ns == 0) known->second.until_ns = now_ns;
}

void FindingStore::Expire(uint64_t now_ns) {
  std::erase_if(findings_, [now_ns](const auto& item) {
    const uint64_t until_ns = item.second.until_ns;
    return until_ns != 0 && now_ns > until_ns + kKeepEndedNs;
  });
}

const Finding* FindingStore::Find(const std::string& id) const {
  const auto known = findings_.find(id);
  return known != findings_.end() ? &known->second : nullptr;
}

std::vector<const Finding*> FindingStore::Sorted() const {
  std::vector<const Finding*> sorted;
  for (const auto& [id, finding] : findings_) sorted.push_back(&finding);
  const auto rank = [](const Finding* finding) {
    return std::make_tuple(finding->until_ns != 0, -static_cast<int>(finding->severity),
                           ~finding->since_ns);
  };
  std::sort(sorted.begin(), sorted.end(),
            [&](const Finding* a, const Finding* b) { return rank(a) < rank(b); });
  return sorted;
}

size_t FindingStore::CountOf(FindingKind kind) const {
  size_t count = 0;
  for (const auto& [id, finding] : findings_) {
    count += finding.kind == kind && finding.until_ns == 0 ? 1 : 0;
  }
  return count;
}

}  // namespace sonde
