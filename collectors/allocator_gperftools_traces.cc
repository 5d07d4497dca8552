// SPDX-License-Identifier: Apache-2.0
// The list that gperftools' ReadStackTraces gives, and what its samples stand for.
#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "collectors/allocator_gperftools.h"
#include "collectors/safe/heap_math.h"

namespace sonde {
namespace {

constexpr size_t kHeadWords = 3;
constexpr uint64_t kMaxDepth = 128;
constexpr size_t kMaxOwnFrames = 4;
// Larger requests are given whole pages, and are sampled by what they ask for.
constexpr uint64_t kMaxClassBytes = 256 << 10;

struct Trace {
  uint64_t count = 0;
  uint64_t bytes = 0;
  std::span<const uint64_t> frames;
};

// Not a whole one: the list is damaged.
bool TakeTrace(std::span<const uint64_t>* words, Trace* trace) {
  if (words->size() < kHeadWords) return false;
  const uint64_t depth = (*words)[2];
  if (depth > kMaxDepth || depth > words->size() - kHeadWords) return false;
  *trace = {(*words)[0], (*words)[1], words->subspan(kHeadWords, depth)};
  *words = words->subspan(kHeadWords + depth);
  return true;
}

// By the addresses where the list has them: it outlives what refers to it.
std::string_view KeyOf(std::span<const uint64_t> frames) {
  return {reinterpret_cast<const char*>(frames.data()), frames.size_bytes()};
}

// Up to the outermost function of the allocator's that is known by name: what that calls is not.
std::span<const uint64_t> WithoutOwn(std::span<const uint64_t> frames,
                                     const std::vector<LinkedObjects::Range>& own) {
  const auto is_own = [&own](uint64_t frame) {
    return std::ranges::any_of(own, [frame](const LinkedObjects::Range& range) {
      return frame > range.low && frame <= range.high;
    });
  };
  const auto near = frames.first(std::min(frames.size(), kMaxOwnFrames));
  const auto last_own = std::ranges::find_if(near.rbegin(), near.rend(), is_own);
  const auto own_frames = static_cast<size_t>(near.rend() - last_own);
  return own_frames < frames.size() ? frames.subspan(own_frames) : frames;
}

// How many blocks one sample stands for. SampleWeight counts a byte more than there are, so that
// malloc(0) has a chance; tcmalloc gives it a class.
double WeightOf(uint64_t bytes, const GperftoolsRules& rules) {
  const uint64_t taken =
      rules.allocated != nullptr && bytes <= kMaxClassBytes ? rules.allocated(bytes, 0) : bytes;
  return SampleWeight(std::max<uint64_t>(taken, 1) - 1, rules.interval_bytes);
}

struct Sum {
  std::span<const uint64_t> frames;
  double objects = 0;
  double bytes = 0;
};

int64_t Rounded(double value) {
  const double half_up = std::min(value, 9e18) + 0.5;
  return static_cast<int64_t>(half_up);
}

}  // namespace

AllocatorSamples ParseGperftoolsTraces(std::span<const uint64_t> words,
                                       const GperftoolsRules& rules) {
  AllocatorSamples out;
  out.interval_bytes = static_cast<int64_t>(rules.interval_bytes);
  std::unordered_map<std::string_view, size_t> places;
  std::vector<Sum> sums;
  Trace trace;
  for (;;) {
    if (!words.empty() && words.front() == 0) break;
    if (!TakeTrace(&words, &trace)) {
      out.problem = "its list of samples has no end";
      break;
    }
    trace.frames = WithoutOwn(trace.frames, rules.own_code);
    const auto [at, is_new] = places.try_emplace(KeyOf(trace.frames), sums.size());
    if (is_new && sums.size() >= kMaxAllocatorStacks) {
      out.problem = "only the first " + std::to_string(kMaxAllocatorStacks) + " stacks";
      break;
    }
    if (is_new) sums.push_back({.frames = trace.frames});
    const double blocks =
        static_cast<double>(trace.count) * WeightOf(trace.bytes / trace.count, rules);
    sums[at->second].objects += blocks;
    sums[at->second].bytes +=
        blocks * static_cast<double>(trace.bytes) / static_cast<double>(trace.count);
  }
  for (const Sum& sum : sums) {
    if (sum.frames.empty()) {
      out.problem = std::to_string(Rounded(sum.bytes)) + " bytes have no stack";
      continue;
    }
    AllocatorStack stack{.frames = {sum.frames.begin(), sum.frames.end()}};
    stack.inuse_objects = Rounded(sum.objects);
    stack.inuse_bytes = Rounded(sum.bytes);
    out.stacks.push_back(std::move(stack));
  }
  return out;
}

}  // namespace sonde
