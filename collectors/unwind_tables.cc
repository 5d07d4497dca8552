// SPDX-License-Identifier: Apache-2.0
// Objects that come and go, and what is published and given back. Chunks: unwind_tables_missed.cc.
// Other processes: unwind_tables_children.cc.
#include "collectors/unwind_tables.h"

#include <errno.h>

#include <algorithm>
#include <new>
#include <utility>

#include "collectors/safe/sys.h"
#include "collectors/unwind_tables_link_map.h"

namespace sonde {
namespace {

// In refreshes: a minute, when there is one each second.
constexpr unsigned kMaxPatience = 60;
// Services have fewer objects; 0.3 ms.
constexpr size_t kMostChecks = 256;

constexpr char kNoMemoryFile[] =
    "neither /proc/self/mem nor a pipe can be opened: stacks are walked by frame pointers only";
constexpr char kNoMapsFile[] = "/proc/self/maps cannot be opened: stacks end at their first frame";
constexpr char kNoArena[] = "no memory for unwind tables: stacks end at their first frame";

}  // namespace

UnwindTables::UnwindTables(UnwindPublication& publication, size_t budget_bytes, UnwindShare* share,
                           DeferredSamples* deferred, DeferredBlocks* blocks)
    : share_(share),
      deferred_(deferred),
      deferred_blocks_(blocks),
      arena_(budget_bytes),
      root_(publication) {
  if (share_ == nullptr) return;
  // Not what another program may hold at the same address.
  share_->token = reinterpret_cast<uint64_t>(share_) ^ 0x736f6e6465756e77 ^
                  static_cast<uint64_t>(sys::Getpid()) << 40;
}

UnwindTables::~UnwindTables() {
  for (auto& [slot, child] : children_) {
    if (child.view != nullptr) child.view->Unpublish();
  }
  root_.Unpublish();
}

bool UnwindTables::Refresh() {
  ++clock_;
  Reclaim();
  CollectUse();
  UnwindPublication& publication = root_.publication();
  const bool unknown_pc = patience_ == 0 ? publication.TakeUnknownPc() : (--patience_, false);
  // Before the scan: what changes while it runs shows as a change the next time.
  const uint64_t link_maps = ReadLinkMaps(memory_, nullptr);
  const bool same =
      complete_ && link_maps == link_maps_ && ObjectsAreTheSame(memory_, root_, &next_check_);
  if (!same || unknown_pc) {
    link_maps_ = link_maps;
    const bool changed = Scan();
    root_changes_ += changed ? 1 : 0;
    if (unknown_pc) NoteUnknownPcScan(changed);
  }
  FindChildren();
  const bool published = PublishDirty();
  Reclaim();
  return published;
}

// An object may have been replaced by one whose entry in the loader's list is the same: a service
// that loads a new build of a plug-in gets place, name and list entry of the old one. Only the
// object's own first bytes tell, and reading them costs about 1.3 us. Where there are very many
// objects it is the turn of some each time.
bool UnwindTables::ObjectsAreTheSame(const ProcessMemory& memory, const UnwindView& view,
                                     size_t* next) {
  const UnwindView::Entries& entries = view.entries();
  const size_t count = std::min(entries.size(), kMostChecks);
  for (size_t i = 0; i < count; ++i) {
    const LoadedObject& object = entries[(*next)++ % entries.size()]->object();
    if (FingerprintOf(memory, object.image) != object.fingerprint) return false;
  }
  return true;
}

// Stacks that cannot be walked raise the flag for ever, and the map of a big process is long.
void UnwindTables::NoteUnknownPcScan(bool changed) {
  if (changed) next_patience_ = 1;
  patience_ = next_patience_ - 1;
  next_patience_ = changed ? 1 : std::min(next_patience_ * 2, kMaxPatience);
}

bool UnwindTables::Scan() {
  ++counters_.scans;
  complete_ = false;
  try {
    memory_.Open();
    std::vector<uint64_t> dynamics;
    CodeList code;
    ReadLinkMaps(memory_, &dynamics);
    std::sort(dynamics.begin(), dynamics.end());
    if (ListCode(memory_, dynamics, &code)) {
      const bool changed = Update(memory_, std::move(code), &root_);
      complete_ = memory_.memory_is_open() && ReadLinkMaps(memory_, nullptr) == link_maps_;
      return changed;
    }
  } catch (const std::bad_alloc&) {
  }
  ++counters_.failures;
  return false;
}

// True: the view shows something new.
bool UnwindTables::Update(const ProcessMemory& memory, CodeList code, UnwindView* view) {
  UnwindBuildTools tools{memory, arena_};
  tools.whole_bytes_left = WholeBytesLeft();
  UnwindView::Entries next;
  next.reserve(code.objects.size());
  BuildOwn(code, tools);
  for (LoadedObject& object : code.objects) next.push_back(FindOrBuild(std::move(object), tools));
  if (next == view->entries() && code.other_code == view->other_code()) return false;
  view->Set(std::move(next), std::move(code.other_code));
  return true;
}

// Our own code first, while there is room for whole tables: it is met in every process of the tree,
// a few samples in each, and those of forked children would be cut chunk by chunk.
void UnwindTables::BuildOwn(const CodeList& code, UnwindBuildTools& tools) {
  const auto own = reinterpret_cast<uint64_t>(&WalkCopiedStack);
  for (const LoadedObject& object : code.objects) {
    if (own >= object.text_low && own < object.text_high) FindOrBuild(object, tools);
  }
}

std::shared_ptr<UnwindEntry> UnwindTables::FindOrBuild(LoadedObject object,
                                                       UnwindBuildTools& tools) {
  const auto old = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry->object().identity == object.identity;
  });
  if (old != entries_.end()) {
    const bool fits_now = (*old)->coverage() == UnwindCoverage::kOverBudget &&
                          (*old)->needed_bytes() <= tools.whole_bytes_left;
    if ((*old)->coverage() != UnwindCoverage::kUnreadable && !fits_now) return *old;
  }
  const size_t place = static_cast<size_t>(old - entries_.begin());
  entries_.reserve(entries_.size() + 1);
  auto entry = std::make_shared<UnwindEntry>(std::move(object));
  entry->Build(tools);
  // It was being loaded the last time, or it cannot be read at all.
  const bool again = place < entries_.size() && entry->coverage() == entries_[place]->coverage();
  if (again) return entries_[place];
  entries_.push_back(entry);
  return entry;
}

// Half of the arena: the rest is for chunks and indexes.
size_t UnwindTables::WholeBytesLeft() const {
  size_t used = 0;
  for (const auto& entry : entries_) used += entry->whole_bytes();
  const size_t share = arena_.capacity() / 2;
  return share - std::min(share, used);
}

void UnwindTables::CollectUse() {
  ForEachView([this](UnwindView& view) { view.CollectUse(clock_); });
}

void UnwindTables::SetDirty(const UnwindEntry* entry) {
  ForEachView([&](UnwindView& view) {
    if (view.Has(entry)) view.SetDirty();
  });
}

bool UnwindTables::PublishDirty() {
  bool published = false;
  ForEachView([&](UnwindView& view) {
    if (!view.dirty()) return;
    Retire(view.Publish(arena_));
    counters_.failures += view.dirty() ? 1 : 0;
    published = true;
  });
  counters_.refreshes += published ? 1 : 0;
  for (const ArenaPiece& piece : evicted_) Retire(piece);
  evicted_.clear();
  DropUnusedEntries();
  return published;
}

// Entries that no view shows any more: no index that is published refers to them.
void UnwindTables::DropUnusedEntries() {
  std::erase_if(entries_, [this](const std::shared_ptr<UnwindEntry>& entry) {
    if (entry.use_count() > 1) return false;
    entry->ForEachPiece([this](const ArenaPiece& piece) { Retire(piece); });
    return true;
  });
}

// Without memory for the note the piece is lost.
void UnwindTables::Retire(ArenaPiece piece) {
  if (piece.data == nullptr) return;
  try {
    retired_.push_back({piece});
  } catch (const std::bad_alloc&) {
    ++counters_.failures;
  }
}

bool UnwindTables::AllIdle(unsigned which) const {
  if (!root_.publication().Idle(which)) return false;
  for (uint32_t slot = 0; slot < ChildrenEnd(); ++slot) {
    const UnwindPublication& child = share_->children[slot];
    const int pid = child.pid();
    if (pid == 0 || child.Idle(which)) continue;
    if (sys::Call(SYS_kill, pid, 0L) != -ESRCH) return false;
  }
  return true;
}

// The rule is UnwindPublication's: both reader counts seen at zero since the swap.
void UnwindTables::Reclaim() {
  if (retired_.empty()) return;
  for (unsigned which : {0u, 1u}) {
    const bool idle = AllIdle(which);
    for (Retired& retired : retired_) retired.idle[which] |= idle;
  }
  std::erase_if(retired_, [this](const Retired& retired) {
    if (!retired.idle[0] || !retired.idle[1]) return false;
    arena_.Free(retired.piece);
    return true;
  });
  // Until the next call the other count drains.
  steer_ ^= 1;
  root_.publication().Steer(steer_);
  for (uint32_t slot = 0; slot < ChildrenEnd(); ++slot) share_->children[slot].Steer(steer_);
}

UnwindStatus UnwindTables::Status() const {
  UnwindStatus status = counters_;
  status.modules.reserve(root_.entries().size());
  for (const auto& entry : root_.entries()) {
    const LoadedObject& object = entry->object();
    status.modules.push_back({object.name, object.base, object.image, object.text_low,
                              object.text_high, entry->coverage(), entry->bytes(),
                              entry->chunks().size(), entry->counts()});
    const bool covered = entry->coverage() == UnwindCoverage::kCovered ||
                         entry->coverage() == UnwindCoverage::kOnDemand;
    status.not_covered += covered ? 0 : 1;
  }
  status.other_code_ranges = root_.other_code().size();
  status.bytes = arena_.used();
  for (const auto& retired : retired_) status.retired_bytes += retired.piece.size;
  status.budget_bytes = arena_.capacity();
  status.misses = root_.publication().misses().count();
  status.children = children_.size();
  for (const auto& [slot, child] : children_) {
    status.children_with_own += child.view != nullptr ? 1 : 0;
    status.misses += share_->children[slot].misses().count();
  }
  if (!memory_.memory_is_open()) status.problem = kNoMemoryFile;
  if (!memory_.maps_is_open()) status.problem = kNoMapsFile;
  if (arena_.capacity() == 0) status.problem = kNoArena;
  return status;
}

}  // namespace sonde
