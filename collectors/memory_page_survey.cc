// SPDX-License-Identifier: Apache-2.0
#include "collectors/memory_page_survey.h"

#include <fcntl.h>

#include <algorithm>
#include <string_view>

#include "collectors/safe/sys.h"
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

// "RssFile:   1234 kB" of /proc/self/status, in bytes; 0 when it is not there.
uint64_t StatusBytes(std::string_view name) {
  char text[4096];
  const long fd = sys::Call(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return 0;
  const long size = sys::Call(SYS_read, fd, text, sizeof text);
  sys::Call(SYS_close, fd);
  const std::string_view status(text, sys::Failed(size) ? 0 : static_cast<size_t>(size));
  const size_t at = status.find(name);
  if (at == status.npos) return 0;
  uint64_t kib = 0;
  for (const char c : status.substr(at + name.size())) {
    if (c >= '0' && c <= '9') kib = kib * 10 + static_cast<uint64_t>(c - '0');
    if (c == '\n') break;
  }
  return kib << 10;
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
    if (!pages_->exact()) TakeFilesFromStatus();
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
    region.is_shared = line.shared;
    region.kind = KindOf(line.name, line.shared, line.inode);
    region.is_of_file = KindOf(line.name, line.shared, line.inode) == RegionKind::kFile;
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
    if (!pages_->exact() && region->is_of_file) {
      if (region->writable) private_file_bytes_ += region->size();
      return;
    }
    if (!region->accessible && region->size() > kLargeReservation) return;
    const uint64_t stopped =
        pages_->Count(region->low, region->high, options_.budget, &region->pages);
    survey_.mapped.unread_bytes += region->high - stopped;
  }

  // Which file has how much is not to be had, but all of them together are: what the kernel counts
  // of files, and of pages of no file what is in none of the other mappings: changes to files.
  void TakeFilesFromStatus() {
    const uint64_t counted = survey_.mapped.anonymous + survey_.mapped.stacks + private_agent_;
    const uint64_t changed = StatusBytes("RssAnon:") - std::min(StatusBytes("RssAnon:"), counted);
    survey_.mapped.files = StatusBytes("RssFile:") + std::min(changed, private_file_bytes_);
    survey_.note =
        "/proc/self/pagemap cannot be read by this user: code and files are the kernel's sum, with "
        "Sonde's own code among them";
  }

  void AddToSums(const SurveyedRegion& region) {
    uint64_t* sum = SumOf(region.kind, &survey_.mapped);
    if (sum == nullptr) return;
    *sum += region.pages.present;
    survey_.mapped.swapped += region.pages.swapped;
    if (sum == &survey_.mapped.anonymous) survey_.mapped.ambiguous += region.pages.ambiguous;
    if (region.kind == RegionKind::kStack) ++survey_.mapped.thread_stacks;
    if (region.kind == RegionKind::kAgent && !region.is_shared)
      private_agent_ += region.pages.present;
  }

  const ProcessMemory& memory_;
  ResidentPages* pages_;
  const SurveyOptions& options_;
  Survey survey_;
  MappedRegion our_file_;
  uint64_t private_agent_ = 0;       // of the agent's memory, what is of no file and not shared
  uint64_t private_file_bytes_ = 0;  // sizes of mappings of files that may have been changed
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
  return Surveyor(memory, pages, options).Run();
}

}  // namespace sonde
