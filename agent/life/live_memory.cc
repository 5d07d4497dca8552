// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_memory.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "agent/life/agent_thread.h"
#include "agent/life/live_mmap_sites.h"
#include "agent/life/self.h"
#include "agent/life/small_reads.h"
#include "agent/life/tree.h"
#include "agent/life/wall_clock.h"
#include "collectors/allocator_glibc.h"
#include "collectors/allocator_release.h"
#include "collectors/allocator_stats.h"
#include "collectors/memory_page_cgroup.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

// Of agent/hooks or agent/tcmalloc: what this library brings as the service's malloc.
extern "C" __attribute__((visibility("hidden"))) void SondeOwnAllocator(sonde::OwnAllocator* out);

namespace sonde::life {
namespace {

constexpr size_t kMaxThreadsLookedAt = 2048;
constexpr size_t kMmapSites = 3;
// Below this the allocator's own count says more than the samples.
constexpr uint64_t kEnoughSamples = 16;
constexpr double kWithin95Percent = 1.96;
constexpr uint64_t kDetectionRestNs = 10'000'000'000;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kDefaultStackBytes = uint64_t{8} << 20;

OwnAllocator BroughtAllocator() {
  OwnAllocator own;
  SondeOwnAllocator(&own);
  return own;
}

uint64_t StackPointerHere() { return reinterpret_cast<uint64_t>(__builtin_frame_address(0)); }

// "NUMBER args… SP PC", "-1 SP PC" or "running".
uint64_t StackPointerIn(const std::string& text) {
  const size_t before_pc = text.rfind(' ');
  if (before_pc == text.npos || before_pc == 0) return 0;
  const size_t before_sp = text.rfind(' ', before_pc - 1);
  if (before_sp == text.npos) return 0;
  return std::strtoull(text.c_str() + before_sp + 1, nullptr, 16);
}

std::vector<uint64_t> HostStackPointers(int agent_tid) {
  std::vector<uint64_t> pointers;
  const long fd = sys::Call(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return pointers;
  const std::string own = std::to_string(agent_tid);
  for (const std::string& tid : ListDirectory(static_cast<int>(fd))) {
    if (tid == own || pointers.size() >= kMaxThreadsLookedAt) continue;
    const uint64_t sp = StackPointerIn(ReadSmallFile("/proc/self/task/" + tid + "/syscall"));
    if (sp != 0) pointers.push_back(sp);
  }
  sys::Call(SYS_close, fd);
  return pointers;
}

uint64_t StackLimit() {
  rlimit limit{};
  if (sys::Failed(sys::Call(SYS_prlimit64, 0, RLIMIT_STACK, 0L, &limit)) ||
      limit.rlim_cur == RLIM_INFINITY)
    return kDefaultStackBytes;
  return limit.rlim_cur;
}

// The second number of /proc/self/statm.
uint64_t ResidentBytes() {
  const std::string text = ReadSmallFile("/proc/self/statm");
  const size_t blank = text.find(' ');
  if (blank == text.npos) return 0;
  return std::strtoull(text.c_str() + blank + 1, nullptr, 10) * kPageBytes;
}

// Rounded up, by Newton's method; the agent links no libm.
uint64_t RootOf(uint64_t number) {
  uint64_t root = number;
  for (uint64_t next = (number + 1) / 2; next < root; next = (root + number / root) / 2)
    root = next;
  return root * root < number ? root + 1 : root;
}

std::string Milliseconds(uint64_t ns) { return std::to_string((ns + 500'000) / 1'000'000) + " ms"; }

AllocatorNumbers ToNumbers(const GlibcHeap& heap, uint64_t cost_ns) {
  AllocatorNumbers out;
  out.name = "glibc";
  out.resident = heap.resident;
  out.free = std::min(heap.free, heap.resident);
  out.in_use = out.resident - out.free;
  out.how = std::to_string(heap.arenas) + " arenas walked in " + Milliseconds(cost_ns);
  out.problem = heap.problem;
  // Half of a heap tells about the other half, a piece does not.
  out.counted = heap.problem.empty() || heap.walked >= heap.total / 2;
  return out;
}

std::vector<std::string> NotesOn(const Survey& survey) {
  std::vector<std::string> notes;
  if (!survey.problem.empty()) notes.push_back(survey.problem);
  if (!survey.note.empty()) notes.push_back(survey.note);
  if (survey.has_jvm)
    notes.push_back("service's mmap: Java's heap, metaspace and compiled code are among it");
  if (survey.has_python)
    notes.push_back("service's mmap: python's own arenas for small objects are among it");
  if (survey.has_v8) notes.push_back("service's mmap: V8's heap is among it");
  if (survey.mapped.unread_bytes > 0)
    notes.push_back("not counted for want of time: " +
                    std::to_string(survey.mapped.unread_bytes >> 20) + " MiB of address space");
  if (survey.mapped.swapped > 0)
    notes.push_back("swapped out: " + std::to_string(survey.mapped.swapped >> 20) + " MiB");
  return notes;
}

}  // namespace

LiveMemory::LiveMemory(int agent_tid, HeapSource* heap, OwnBytes own_bytes)
    : agent_tid_(agent_tid),
      heap_(heap),
      own_bytes_(std::move(own_bytes)),
      own_(BroughtAllocator()),
      detector_(memory_, own_.serves) {}

const DetectedAllocators& LiveMemory::Detected() {
  const uint64_t now_ns = MonotonicNs();
  if (!detected_ || now_ns - detected_ns_ > kDetectionRestNs) {
    detected_ = detector_.Detect();
    for (DetectedAllocator& one : detected_->all) {
      UnseenSampling sampling = LookAtSampling(memory_, one, detected_->hooks_bypassed);
      one.samples_unseen = sampling.on;
      one.samples_why_not = std::move(sampling.why_not);
    }
    detected_ns_ = now_ns;
  }
  return *detected_;
}

std::vector<std::string> LiveMemory::Allocators() {
  std::vector<std::string> sentences;
  for (const DetectedAllocator& one : Detected().all) sentences.push_back(Describe(one));
  return sentences;
}

std::vector<std::string> LiveMemory::NotCovered() {
  DetectedAllocators detected = Detected();
  const std::string problem = allocator_samples_.Problem();
  for (DetectedAllocator& one : detected.all) {
    if (!one.samples_unseen || problem.empty()) continue;
    one.samples_unseen = false;
    one.samples_why_not = "it samples by itself, but " + problem;
  }
  return NotCoveredSentences(detected);
}

SurveyOptions LiveMemory::Options(const WorkBudget& budget) const {
  SurveyOptions options;
  options.stack_pointers = HostStackPointers(agent_tid_);
  options.agent_stacks = {StackPointerHere()};
  const auto region = reinterpret_cast<uint64_t>(TreeRegion().header);
  options.agent = {{region, region + TreeRegion().header->total_bytes}};
  options.stack_limit_bytes = StackLimit();
  options.budget = budget;
  return options;
}

// Where the kernel cannot name mappings, the agent's heap looks like the service's.
void LiveMemory::MoveOwnHeap(Survey* survey) const {
  uint64_t named = 0, brk = 0;
  for (const SurveyedRegion& region : survey->regions) {
    if (region.is_named_ours) named += region.pages.present;
    if (region.kind == RegionKind::kBrk) brk += region.pages.present;
  }
  const OwnMemory own = own_bytes_();
  const uint64_t mapped = survey->mapped.anonymous - std::min(survey->mapped.anonymous, brk);
  const uint64_t moved = std::min(own.private_bytes - std::min(own.private_bytes, named), mapped);
  const uint64_t shared = std::min(own.shared_bytes, survey->mapped.shared);
  survey->mapped.anonymous -= moved;
  survey->mapped.shared -= shared;
  survey->mapped.agent += moved + shared;
}

// Each sample stands for about an interval's worth of small blocks, so the standard deviation of
// the sum is at most interval * sqrt(samples); large blocks are known better.
void LiveMemory::AddSampledHeap(MemoryFacts* facts) {
  HeapSnapshot heap;
  std::string why_not;
  if (!heap_->Read({}, &heap, &why_not)) return;
  int64_t live = 0;
  for (const HeapSample& sample : heap.samples) {
    const bool is_ours = sample.pid == g_self.pid && sample.inuse_bytes > 0;
    if (is_ours && !sample.mmap) live += sample.inuse_bytes;
  }
  if (heap.live_samples < kEnoughSamples || Detected().hooks_bypassed) return;
  facts->live.sampled = true;
  facts->live.bytes = static_cast<uint64_t>(live);
  facts->live.error_bytes =
      static_cast<uint64_t>(kWithin95Percent * static_cast<double>(heap.interval_bytes) *
                            static_cast<double>(RootOf(heap.live_samples)));
  facts->notes.push_back("live heap: blocks from before the sampling began are in allocator extra");
}

// glibc's own heap is looked at whoever serves malloc: libc uses it before others are there.
void LiveMemory::AddAllocators(const Survey& survey, const WorkBudget& budget, MemoryFacts* facts) {
  for (const DetectedAllocator& one : Detected().all) {
    if (one.kind == AllocatorKind::kOurs) {
      facts->allocators.push_back(own_.ask());
    } else if (one.kind == AllocatorKind::kGlibc) {
      if (!one.serves_malloc) continue;
      const uint64_t begin_ns = ThreadCpuNs();
      const GlibcHeap heap = WalkGlibcHeap(memory_, &pages_, survey.regions, budget);
      facts->allocators.push_back(ToNumbers(heap, ThreadCpuNs() - begin_ns));
    } else if (one.statistics != 0 && (one.serves_malloc || one.object == "the program")) {
      facts->allocators.push_back(AskAllocator(one));
    } else if (one.serves_malloc || one.hidden) {
      AllocatorNumbers numbers;
      numbers.name = AllocatorKindName(one.kind);
      numbers.problem = "it exports nothing that could be asked";
      facts->allocators.push_back(std::move(numbers));
    }
  }
}

void LiveMemory::MakePage() {
  const uint64_t begin_ns = ThreadCpuNs();
  const WorkBudget budget = {begin_ns + kBudgetNs, &AgentMustStop};
  MemoryFacts facts;
  Survey survey = SurveyMemory(memory_, &pages_, Options(budget));
  MoveOwnHeap(&survey);
  AddAllocators(survey, budget, &facts);
  facts.mapped = survey.mapped;
  facts.notes = NotesOn(survey);
  AddSampledHeap(&facts);
  facts.mmap_sites = ReadMmapSites(&pages_, budget, kMmapSites);
  facts.cgroup = ReadCgroupMemory();
  facts.rss = ResidentBytes();
  page_ = MakeMemoryPage(std::move(facts));
  page_->unix_ms = UnixMs();
  page_->cost_ms = static_cast<double>(ThreadCpuNs() - begin_ns) / 1e6;
  made_ns_ = MonotonicNs();
}

const MemoryPage& LiveMemory::Page() {
  const uint64_t age_ns = MonotonicNs() - made_ns_;
  if (!page_ ||
      age_ns > std::max(kShortestRestNs, static_cast<uint64_t>(page_->cost_ms * 1e6) * kRestShare))
    MakePage();
  return *page_;
}

// How large the heap is says the page, which may be as old as pages get.
MemoryRelease LiveMemory::Release(bool force) {
  MemoryRelease release;
  const auto& all = Detected().all;
  const auto serving =
      std::ranges::find_if(all, [](const DetectedAllocator& one) { return one.serves_malloc; });
  if (serving == all.end()) {
    release.text = "no allocator was found that serves malloc";
    return release;
  }
  const uint64_t begin_ns = MonotonicNs();
  ReleaseRequest request{.force = force,
                         .budget = {ThreadCpuNs() + kBudgetNs, &AgentMustStop},
                         .release = own_.release};
  for (const AllocatorNumbers& numbers : Page().facts.allocators) {
    request.heap_bytes += numbers.resident;
    request.free_bytes += numbers.free;
  }
  release.rss_before = ResidentBytes();
  ReleaseOutcome outcome = ReleaseFreeMemory(memory_, *serving, request);
  release.done = outcome.done;
  release.text = std::move(outcome.text);
  release.rss_after = ResidentBytes();
  release.took_ms = static_cast<double>(MonotonicNs() - begin_ns) / 1e6;
  if (release.done) page_.reset();
  return release;
}

const MemoryPage* LiveMemory::PageForScrape() {
  if (!page_) return ResidentBytes() <= kMaxFirstScrapeRss ? &Page() : nullptr;
  const bool is_old = MonotonicNs() - made_ns_ > kScrapeRestNs;
  return is_old && page_->cost_ms <= kMaxScrapeCostMs ? &Page() : &*page_;
}

}  // namespace sonde::life
