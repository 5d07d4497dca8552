// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_codec.h"

#include <algorithm>
#include <cstring>

#include "collectors/safe/stack_table.h"

namespace sonde {
namespace {

using Entry = FoldCounts::Entry;

constexpr uint32_t kMaxRateHz = 100'000;

class ByteWriter {
 public:
  void Number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<uint8_t>(value | 0x80));
    bytes_.push_back(static_cast<uint8_t>(value));
  }
  // Small for small differences of either sign.
  void Difference(uint64_t to, uint64_t from) {
    const auto difference = static_cast<int64_t>(to - from);
    Number(static_cast<uint64_t>(difference) << 1 ^ static_cast<uint64_t>(difference >> 63));
  }
  void Text(const char* text) {
    const size_t size = strlen(text);
    Number(size);
    bytes_.insert(bytes_.end(), text, text + size);
  }
  size_t size() const { return bytes_.size(); }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint64_t Number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) break;
      const uint8_t byte = bytes_[0];
      bytes_ = bytes_.subspan(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    good_ = false;
    return 0;
  }
  // A number that is at most `limit`.
  uint32_t Bounded(uint64_t limit) {
    const uint64_t value = Number();
    good_ = good_ && value <= limit;
    return good_ ? static_cast<uint32_t>(value) : 0;
  }
  uint64_t Difference(uint64_t from) {
    const uint64_t value = Number();
    return from + (value >> 1 ^ (0 - (value & 1)));
  }
  void Text(char* text, size_t room) {
    const size_t size = Bounded(room);
    if (size > bytes_.size()) good_ = false;
    if (!good_) return;
    memcpy(text, bytes_.data(), size);
    bytes_ = bytes_.subspan(size);
  }
  bool good() const { return good_; }
  size_t left() const { return bytes_.size(); }

 private:
  std::span<const uint8_t> bytes_;
  bool good_ = true;
};

// From the root, so that stacks with a common beginning are neighbours.
bool RootFirst(const Entry& a, const Entry& b) {
  const auto [in_a, in_b] =
      std::mismatch(a.frames.rbegin(), a.frames.rend(), b.frames.rbegin(), b.frames.rend());
  if (in_a != a.frames.rend() && in_b != b.frames.rend()) return *in_a < *in_b;
  if (in_a != a.frames.rend() || in_b != b.frames.rend()) return in_a == a.frames.rend();
  return a.flags != b.flags ? a.flags < b.flags : a.thread < b.thread;
}

size_t SharedFromRoot(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  const auto ends = std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend());
  return static_cast<size_t>(ends.first - a.rbegin());
}

void WriteThread(const FoldThread& thread, ByteWriter* out) {
  out->Number(static_cast<uint32_t>(thread.pid));
  out->Number(static_cast<uint32_t>(thread.tid));
  out->Number(thread.slot);
  out->Number(thread.generation);
  out->Text(thread.name);
}

// Threads that entries refer to, numbered anew in the order of their first use.
class UsedThreads {
 public:
  UsedThreads(std::span<const FoldThread> all, std::span<const Entry> entries)
      : number_(all.size(), UINT32_MAX) {
    for (const Entry& entry : entries) {
      if (number_[entry.thread] != UINT32_MAX) continue;
      number_[entry.thread] = static_cast<uint32_t>(used_.size());
      used_.push_back(&all[entry.thread]);
    }
  }
  std::span<const FoldThread* const> list() const { return used_; }
  uint32_t NumberOf(uint32_t thread) const { return number_[thread]; }

 private:
  std::vector<uint32_t> number_;
  std::vector<const FoldThread*> used_;
};

void WriteSample(const Entry& entry, uint32_t thread, std::span<const uint64_t> before,
                 ByteWriter* out) {
  out->Number(thread);
  out->Number(static_cast<uint64_t>(entry.kind));
  out->Number(entry.flags);
  out->Number(entry.events);
  out->Number(entry.amount);
  const size_t shared = SharedFromRoot(entry.frames, before);
  const size_t further = entry.frames.size() - shared;
  out->Number(shared);
  out->Number(further);
  uint64_t below = shared == 0 ? 0 : entry.frames[further];
  for (size_t i = further; i-- > 0; below = entry.frames[i]) {
    out->Difference(entry.frames[i], below);
  }
}

std::vector<uint8_t> Write(const FoldCounts& counts, const StepFacts& facts,
                           std::span<const Entry> entries, std::span<const FoldLoss> losses) {
  ByteWriter out;
  out.Number(facts.covered_ns);
  out.Number(facts.rate_hz);
  out.Number(static_cast<uint64_t>(facts.gap));
  const UsedThreads threads(counts.threads(), entries);
  out.Number(threads.list().size());
  for (const FoldThread* thread : threads.list()) WriteThread(*thread, &out);
  out.Number(entries.size());
  std::span<const uint64_t> before;
  for (const Entry& entry : entries) {
    WriteSample(entry, threads.NumberOf(entry.thread), before, &out);
    before = entry.frames;
  }
  out.Number(losses.size());
  for (const FoldLoss& loss : losses) {
    out.Number(static_cast<uint64_t>(loss.kind));
    out.Number(static_cast<uint64_t>(loss.reason));
    out.Number(loss.events);
    out.Number(loss.amount);
  }
  return out.Take();
}

// Keeps at most `kept` entries, the heaviest of each group of kinds; the others become a loss.
void LeaveOutLightest(size_t kept, std::vector<Entry>* entries, std::vector<FoldLoss>* losses) {
  const auto heavier = [](const Entry& a, const Entry& b) {
    const size_t group_a = GroupOf(a.kind);
    const size_t group_b = GroupOf(b.kind);
    return group_a != group_b ? group_a < group_b : a.amount > b.amount;
  };
  std::sort(entries->begin(), entries->end(), heavier);
  size_t sizes[kKindGroups] = {};
  for (const Entry& entry : *entries) ++sizes[GroupOf(entry.kind)];
  const size_t share = FairShare(sizes, kept);
  size_t seen[kKindGroups] = {};
  const auto cut = std::stable_partition(entries->begin(), entries->end(), [&](const Entry& entry) {
    return seen[GroupOf(entry.kind)]++ < share;
  });
  for (auto i = cut; i != entries->end(); ++i) {
    losses->push_back({i->kind, DropReason::kReaderFull, i->events, i->amount});
  }
  // One loss a kind.
  for (size_t i = 0; i < losses->size(); ++i) {
    for (size_t j = losses->size() - 1; j > i; --j) {
      if ((*losses)[j].kind != (*losses)[i].kind || (*losses)[j].reason != (*losses)[i].reason)
        continue;
      (*losses)[i].events += (*losses)[j].events;
      (*losses)[i].amount += (*losses)[j].amount;
      losses->erase(losses->begin() + static_cast<ptrdiff_t>(j));
    }
  }
  entries->erase(cut, entries->end());
}

bool ReadThreads(ByteReader* in, std::vector<FoldThread>* threads) {
  constexpr size_t kLeastBytes = 5;
  const size_t count = in->Bounded(in->left() / kLeastBytes);
  for (size_t i = 0; i < count && in->good(); ++i) {
    FoldThread& thread = threads->emplace_back();
    thread.pid = static_cast<int32_t>(in->Bounded(INT32_MAX));
    thread.tid = static_cast<int32_t>(in->Bounded(INT32_MAX));
    thread.slot = in->Bounded(UINT32_MAX);
    thread.generation = in->Bounded(UINT32_MAX);
    in->Text(thread.name, sizeof thread.name - 1);
  }
  return in->good();
}

// The frames and depth of the sample before become this one's.
bool ReadFrames(ByteReader* in, uint64_t (&root_first)[kMaxDepth], uint32_t* depth) {
  const uint32_t shared = in->Bounded(*depth);
  const uint32_t further = in->Bounded(kMaxDepth - shared);
  uint64_t below = shared == 0 ? 0 : root_first[shared - 1];
  for (uint32_t i = 0; i < further; ++i) {
    below = in->Difference(below);
    root_first[shared + i] = below;
  }
  *depth = shared + further;
  return in->good() && *depth > 0;
}

bool ReadSamples(ByteReader* in, std::span<const FoldThread> threads, StepVisitor* visitor) {
  constexpr size_t kLeastBytes = 7;
  const size_t count = in->Bounded(in->left() / kLeastBytes);
  uint64_t root_first[kMaxDepth];
  uint64_t leaf_first[kMaxDepth];
  uint32_t depth = 0;
  for (size_t i = 0; i < count; ++i) {
    FoldDelta delta;
    const uint32_t thread = in->Bounded(UINT32_MAX);
    delta.kind = static_cast<Kind>(in->Bounded(kKindLimit - 1));
    delta.flags = static_cast<uint16_t>(in->Bounded(UINT16_MAX));
    delta.events = in->Number();
    delta.amount = in->Number();
    if (!ReadFrames(in, root_first, &depth) || thread >= threads.size()) return false;
    std::reverse_copy(root_first, root_first + depth, leaf_first);
    delta.thread = threads[thread];
    delta.frames = {leaf_first, depth};
    delta.hash = HashStack({leaf_first, depth, delta.flags});
    visitor->OnSample(delta);
  }
  return in->good();
}

bool ReadLosses(ByteReader* in, StepVisitor* visitor) {
  const size_t count = in->Bounded(kKindLimit * kDropReasonLimit);
  for (size_t i = 0; i < count; ++i) {
    FoldLoss loss;
    loss.kind = static_cast<Kind>(in->Bounded(kKindLimit - 1));
    loss.reason = static_cast<DropReason>(in->Bounded(kDropReasonLimit - 1));
    loss.events = in->Number();
    loss.amount = in->Number();
    if (!in->good()) return false;
    visitor->OnLoss(loss);
  }
  return in->good();
}

}  // namespace

const char* GapReasonText(GapReason reason) {
  static constexpr const char* kTexts[] = {"",
                                           "the kill switch was on",
                                           "CPU sampling was switched off by a setting",
                                           "no signal was left to sample with",
                                           "the agent kept itself off (see its status)",
                                           "the agent was away"};
  const auto i = static_cast<size_t>(reason);
  return i < std::size(kTexts) ? kTexts[i] : "unknown";
}

std::vector<uint8_t> EncodeStep(const FoldCounts& counts, const StepFacts& facts,
                                size_t max_bytes) {
  std::vector<Entry> entries = counts.Entries();
  std::vector<FoldLoss> losses = counts.Losses();
  for (;;) {
    std::sort(entries.begin(), entries.end(), RootFirst);
    std::vector<uint8_t> bytes = Write(counts, facts, entries, losses);
    if (bytes.size() <= max_bytes || entries.empty()) {
      if (bytes.size() > max_bytes) bytes.clear();
      return bytes;
    }
    const size_t fits = entries.size() * max_bytes / bytes.size();
    LeaveOutLightest(fits * 9 / 10, &entries, &losses);
  }
}

bool DecodeStep(std::span<const uint8_t> bytes, StepFacts* facts, StepVisitor* visitor) {
  ByteReader in(bytes);
  *facts = {};
  facts->covered_ns = in.Number();
  facts->rate_hz = in.Bounded(kMaxRateHz);
  facts->gap = static_cast<GapReason>(in.Bounded(kGapReasonLimit - 1));
  std::vector<FoldThread> threads;
  return ReadThreads(&in, &threads) && ReadSamples(&in, threads, visitor) &&
         ReadLosses(&in, visitor);
}

}  // namespace sonde
