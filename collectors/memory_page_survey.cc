// SPDX-License-Identifier: Apache-2.0
#include "collectors/memory_page_survey.h"

#include <algorithm>
#include <string_view>

#include "collectors/unwind_tables_maps.h"

namespace sonde {
namespace {

// A reservation without permissions may be any size, and reading its holes costs 1.3 ms a GiB.
constexpr uint64_t kLargeReservation = uint64_t{256} << 20;
constexpr uint64_t kMaxGuardBytes = uint64_t{1} << 20;
// Larger ones are heaps that hold fibres' stacks.
constexpr uint64_t kMaxStackBytes = uint64_t{64} << 20;

bool StartsWithAny(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [text](std::string_view prefix) { return text.starts_with(prefix); });
}

bool Overlaps(const SurveyedRegion& region, const std::vector<AddressRange>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [&region](const AddressRange& range) {
    return range.low < region.high && region.low < range.high;
  });
}

// The file name without its directories.
std::string_view BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

void NoteRuntime(std::string_view path, Survey* survey) {
  const std::string_view name = BaseName(path);
  survey->has_jvm |= name.starts_with("libjvm.so");
  survey->has_python |= name.starts_with("libpython3") || name.starts_with("python3");
  survey->has_v8 |= name == "node" || name.starts_with("libnode.so") || name == "chromium";
}

uint64_t* SumOf(RegionKind kind, MappedMemory* mapped) {
  switch (kind) {
    case RegionKind::kAnonymous:
    case RegionKind::kBrk:
      return &mapped->anonymous;
    case RegionKind::kShared:
      return &mapped->shared;
    case RegionKind::kFile:
      return &mapped->files;
    case RegionKind::kStack:
      return &mapped->stacks;
    case RegionKind::kAgent:
      return &mapped->agent;
    case RegionKind::kIgnored:
      break;
  }
  return nullptr;
}

class Surveyor {
 public:
  Surveyor(const ProcessMemory& memory, ResidentPages* pages, const SurveyOptions& options)
      : memory_(memory), pages_(pages), options_(options) {}

  Survey Run() {
    MapsReader maps(memory_);
    MappedRegion line;
    while (maps.Next(&line)) Take(line);
    if (survey_.regions.empty()) survey_.problem = "/proc/self/maps cannot be read";
    MarkStacks(options_, &survey_.regions);
    for (const SurveyedRegion& region : survey_.regions) AddToSums(region);
    return std::move(survey_);
  }

 private:
  // The object that this code is in has several mappings, of one file.
  [[nodiscard]] bool IsOurFile(const MappedRegion& line) {
    const auto here = reinterpret_cast<uint64_t>(&SurveyMemory);
    if (line.low <= here && here < line.high) our_file_ = line;
    return our_file_.SameFile(line);
  }

  void Take(const MappedRegion& line) {
    SurveyedRegion region;
    region.low = line.low;
    region.high = line.high;
    region.accessible = line.readable || line.writable || line.executable;
    region.writable = line.writable;
    region.kind = KindOf(line.name, line.shared, line.inode);
    region.is_named_ours = line.name.starts_with("[anon:sonde");
    if (region.is_named_ours || Overlaps(region, options_.agent)) region.kind = RegionKind::kAgent;
    if (region.kind == RegionKind::kFile) {
      if (line.executable) NoteRuntime(line.name, &survey_);
      if (IsOurFile(line)) region.kind = RegionKind::kAgent;
    }
    ++survey_.mapped.regions;
    if (region.kind != RegionKind::kIgnored) CountPages(&region);
    if (survey_.regions.size() < Survey::kMaxRegions) {
      survey_.regions.push_back(region);
    } else {
      AddToSums(region);
    }
  }

  void CountPages(SurveyedRegion* region) {
    if (!region->accessible && region->size() > kLargeReservation) return;
    const uint64_t stopped =
        pages_->Count(region->low, region->high, options_.budget, &region->pages);
    survey_.mapped.unread_bytes += region->high - stopped;
  }

  void AddToSums(const SurveyedRegion& region) {
    uint64_t* sum = SumOf(region.kind, &survey_.mapped);
    if (sum == nullptr) return;
    *sum += region.pages.present;
    survey_.mapped.swapped += region.pages.swapped;
    if (sum == &survey_.mapped.anonymous) survey_.mapped.ambiguous += region.pages.ambiguous;
    if (region.kind == RegionKind::kStack) ++survey_.mapped.thread_stacks;
  }

  const ProcessMemory& memory_;
  ResidentPages* pages_;
  const SurveyOptions& options_;
  Survey survey_;
  MappedRegion our_file_;
};

using Regions = std::vector<SurveyedRegion>;

// The mapping that holds the address, or end().
Regions::iterator RegionAt(Regions* regions, uint64_t address) {
  const auto after =
      std::upper_bound(regions->begin(), regions->end(), address,
                       [](uint64_t a, const SurveyedRegion& region) { return a < region.low; });
  if (after == regions->begin()) return regions->end();
  const auto at = std::prev(after);
  return address < at->high ? at : regions->end();
}

// Bytes of the inaccessible mapping right below; 0 when there is none that could be a guard.
uint64_t GuardBelow(const Regions& regions, Regions::const_iterator at) {
  if (at == regions.begin()) return 0;
  const auto below = std::prev(at);
  if (below->accessible || below->high != at->low || below->size() > kMaxGuardBytes) return 0;
  return below->size();
}

bool MayBeStack(const Regions& regions, Regions::const_iterator at) {
  return at->kind == RegionKind::kAnonymous && at->writable && at->size() <= kMaxStackBytes &&
         GuardBelow(regions, at) != 0;
}

}  // namespace

RegionKind KindOf(std::string_view name, bool shared, uint64_t inode) {
  if (name.empty()) return shared ? RegionKind::kShared : RegionKind::kAnonymous;
  if (name.starts_with("[anon_shmem:")) return RegionKind::kShared;
  if (name.starts_with("[anon:")) return RegionKind::kAnonymous;
  if (name == "[heap]") return RegionKind::kBrk;
  if (name.starts_with("[stack")) return RegionKind::kStack;
  if (name.front() == '[') return RegionKind::kIgnored;  // vdso, vvar, vsyscall: no RSS
  if (StartsWithAny(name, {"/dev/zero", "/memfd:", "/dev/shm/", "/SYSV"}))
    return shared ? RegionKind::kShared : RegionKind::kAnonymous;
  // Huge pages and devices' memory are in no RSS.
  if (StartsWithAny(name, {"/anon_hugepage", "/dev/"})) return RegionKind::kIgnored;
  return inode != 0 || name.front() == '/' ? RegionKind::kFile : RegionKind::kIgnored;
}

void MarkStacks(const SurveyOptions& options, Regions* regions) {
  std::vector<uint64_t> sizes = {options.stack_limit_bytes};
  for (const uint64_t pointer : options.stack_pointers) {
    const auto at = RegionAt(regions, pointer);
    if (at == regions->end() || !MayBeStack(*regions, at)) continue;
    sizes.push_back(at->size() + GuardBelow(*regions, at));
    at->kind = RegionKind::kStack;
  }
  std::sort(sizes.begin(), sizes.end());
  for (auto at = regions->begin(); at != regions->end(); ++at) {
    if (!MayBeStack(*regions, at)) continue;
    const uint64_t guard = GuardBelow(*regions, at);
    // Whether the guard is a part of the limit differs between versions of glibc.
    if (std::binary_search(sizes.begin(), sizes.end(), at->size()) ||
        std::binary_search(sizes.begin(), sizes.end(), at->size() + guard))
      at->kind = RegionKind::kStack;
  }
  for (const uint64_t pointer : options.agent_stacks) {
    const auto at = RegionAt(regions, pointer);
    if (at != regions->end() && GuardBelow(*regions, at) != 0 && at->size() <= kMaxStackBytes)
      at->kind = RegionKind::kAgent;
  }
}

Survey SurveyMemory(const ProcessMemory& memory, ResidentPages* pages,
                    const SurveyOptions& options) {
  if (!pages->ok()) {
    Survey survey;
    survey.problem = "/proc/self/pagemap cannot be read by this user";
    return survey;
  }
  return Surveyor(memory, pages, options).Run();
}

}  // namespace sonde
