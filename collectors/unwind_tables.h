// SPDX-License-Identifier: Apache-2.0
// Builds the unwind tables of everything that is loaded and keeps them up to date, for a process
// and for its forked children.
//
// Owned and called by the agent thread only; not thread-safe. It hooks nothing and takes no lock:
// loads and unloads show in the loader's list (unwind_tables_link_map.h) and in the first bytes of
// each object, new JIT code in a flag that the walker sets, and what big objects need in the chunks
// that walks have missed, and in the samples whose walks were put off for that. Memory: tables,
// indexes, and what was replaced but may still be read lie in an arena of the budget's size. What
// does not fit: chunks that were not used for kIdleClock calls of Refresh make room; else the miss
// is counted, and walks go on by frame pointers. While it builds it also holds one copy of an
// object's .eh_frame, or of a piece of it, and its rows.
//
// A forked child reads the same tables through its own publication in the UnwindShare. It starts
// with the root's index; when it has other objects than the root it gets one of its own. Children
// of a process that has died keep what they had.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collectors/function_starts.h"
#include "collectors/process_memory.h"
#include "collectors/safe/deferred_blocks.h"
#include "collectors/safe/deferred_samples.h"
#include "collectors/safe/unwind.h"
#include "collectors/safe/unwind_publication.h"
#include "collectors/unwind_tables_arena.h"
#include "collectors/unwind_tables_entry.h"
#include "collectors/unwind_tables_objects.h"
#include "collectors/unwind_tables_view.h"

namespace sonde {

inline constexpr size_t kDefaultUnwindBudgetBytes = size_t{4} << 20;

// A CPU sample or a block whose walk had to wait for tables, with its stack.
struct FinishedSample {
  const DeferredSample* sample = nullptr;  // one of the two
  const DeferredBlock* block = nullptr;
  uint32_t depth = 0;
  StackEnd end = StackEnd::kNoUnwindData;
  uint64_t frames[kMaxDepth];
};

class FinishedSamples {
 public:
  virtual ~FinishedSamples() = default;
  virtual void OnFinished(const FinishedSample& finished) = 0;
};

struct UnwindModuleStatus {
  std::string name;  // as in LoadedObject
  uint64_t base = 0;
  uint64_t image = 0;  // where its ELF header is
  uint64_t text_low = 0;
  uint64_t text_high = 0;
  UnwindCoverage coverage = UnwindCoverage::kNoUnwindData;
  size_t bytes = 0;
  size_t chunks = 0;  // built now, of one that is built on demand
  UnwindRowCounts counts;
};

struct UnwindStatus {
  std::vector<UnwindModuleStatus> modules;  // of the root
  size_t not_covered = 0;                   // modules that are neither kCovered nor kOnDemand
  size_t other_code_ranges = 0;             // executable mappings that are no object's
  size_t bytes = 0;                         // in use, retired ones included
  size_t retired_bytes = 0;                 // kept for a walker that may still read them
  size_t budget_bytes = 0;
  size_t children = 0;           // processes that read these tables
  size_t children_with_own = 0;  // of them, those with objects of their own
  uint64_t refreshes = 0;        // that published an index
  uint64_t failures = 0;         // the old index stayed, or there is none
  uint64_t scans = 0;            // of all mappings
  uint64_t misses = 0;           // walks of the root that came to code before its chunk was built
  uint64_t chunks_built = 0;
  uint64_t chunks_evicted = 0;
  uint64_t chunks_refused = 0;  // no room, and all that is there is in use
  uint64_t deferred = 0;        // samples whose walks were finished by FinishDeferred
  // A sentence, or null: why the tables are not what they could be.
  const char* problem = nullptr;
};

class UnwindTables {
 public:
  // `share` holds `publication` as its root, or is null: there are no children then. `deferred`:
  // where this process leaves samples that came before their tables, or null; `blocks`: the same
  // for sampled blocks.
  UnwindTables(UnwindPublication& publication, size_t budget_bytes, UnwindShare* share = nullptr,
               DeferredSamples* deferred = nullptr, DeferredBlocks* blocks = nullptr);
  // Unpublishes. No walk may be under way: in the agent, this object lives for ever.
  ~UnwindTables();
  UnwindTables(const UnwindTables&) = delete;
  UnwindTables& operator=(const UnwindTables&) = delete;

  // Brings the tables up to date, if anything has changed, and frees what no walker can be reading
  // any more. Call it every second or so: while nothing changes it reads the loader's list and the
  // first bytes of each object; the mappings are read only else. True if a new index was
  // published. Cold path only.
  bool Refresh();

  // Builds the chunks that walks have missed, at most UnwindMisses::kSlots for a process. Call it
  // often: while there are none it looks at a few cache lines for each. True if a new index was
  // published. Cold path only.
  bool BuildMissed();

  // Finishes the walks of the samples that came before their tables, and builds these; at most
  // what its share of CPU time permits, the rest stays for the next call. Call it often, and before
  // samples are to be complete. True: there were such samples. Cold path only.
  bool FinishDeferred(uint64_t now_ns, FinishedSamples* sink);

  // Builds the chunk of the root that holds `pc`, for a walk from outside. The same return value.
  // Cold path only.
  bool BuildAt(uint64_t pc) {
    root_.publication().misses().Ask(pc);
    return BuildMissed();
  }

  // The same for a process of the tree: of a forked child, in what it walks with.
  bool BuildFor(int pid, uint64_t pc);

  // Through which the stacks of a process of the tree are walked: a child's own place, or the
  // root's when it has none. Cold path only.
  UnwindPublication& PublicationFor(int pid);

  // Where the code is that PublicationFor() has tables of. Throws std::bad_alloc. Cold path only.
  std::vector<CodeOfImage> CodeFor(int pid) const;

  // A new agent thread has this object from the one before, and descriptors of its own. Cold path
  // only.
  void OnNewAgentThread() { memory_.Reopen(); }

  // Throws std::bad_alloc. Cold path only.
  UnwindStatus Status() const;

  static constexpr uint64_t kIdleClock = 10;

 private:
  // A forked child: its view exists once it has objects that the root has not.
  struct Child {
    int pid = 0;
    std::unique_ptr<UnwindView> view;
    bool unknown_pc = false;
    uint64_t link_maps = 0;     // when its mappings were looked at last
    uint64_t root_changes = 0;  // and how often the root's objects had changed by then
    size_t next_check = 0;      // the object, of those it walks with, that is looked at next
    uint64_t next_scan = 0;     // clock: not before, for an unknown pc
  };
  struct Retired {
    ArenaPiece piece;
    bool idle[2] = {false, false};  // which reader counts were seen at zero since
  };

  static bool ObjectsAreTheSame(const ProcessMemory& memory, const UnwindView& view, size_t* next);
  void NoteUnknownPcScan(bool published);
  bool Scan();
  bool Update(const ProcessMemory& memory, CodeList code, UnwindView* view);
  void BuildOwn(const CodeList& code, UnwindBuildTools& tools);
  std::shared_ptr<UnwindEntry> FindOrBuild(LoadedObject object, UnwindBuildTools& tools);
  size_t WholeBytesLeft() const;

  uint32_t ChildrenEnd() const { return share_ != nullptr ? share_->end() : 0; }
  void FindChildren();
  void LookAtChildren();
  void LookAtChild(UnwindPublication& publication, Child* child);
  bool ScanChild(const ProcessMemory& memory, UnwindPublication& publication, Child* child);
  void DropView(Child* child);

  class DeferredWalk;
  bool AnyDeferred() const;
  void ReturnDeferredMemory(uint64_t now_ns);
  bool Finish(FinishedSample* finished, UnwindBuildTools* tools, FinishedSamples* sink);
  void RefillBuilds(uint64_t now_ns);

  UnwindBuildTools ToolsForChunks();
  bool AnyMissed() const;
  void BuildMissedOf(UnwindPublication& publication, UnwindView& view, const ProcessMemory& memory,
                     UnwindBuildTools* tools);
  void BuildMissedOfChildren(UnwindBuildTools* tools);
  void Count(const UnwindEntry* entry, UnwindEntry::Outcome outcome);
  void MakeRoom();
  void CollectUse();
  void SetDirty(const UnwindEntry* entry);

  bool PublishDirty();
  void DropUnusedEntries();
  void Retire(ArenaPiece piece);
  void Reclaim();
  bool AllIdle(unsigned which) const;
  template <typename Sink>
  void ForEachView(Sink&& sink) {
    sink(root_);
    for (auto& [slot, child] : children_) {
      if (child.view != nullptr) sink(*child.view);
    }
  }

  UnwindShare* const share_;
  DeferredSamples* const deferred_;
  DeferredBlocks* const deferred_blocks_;
  TableArena arena_;
  UnwindView root_;
  std::map<uint32_t, Child> children_;                 // by their place in the share
  std::vector<std::shared_ptr<UnwindEntry>> entries_;  // of all views
  bool room_wanted_ = false;
  std::vector<ArenaPiece> evicted_;  // not published any more after the next PublishDirty
  std::vector<Retired> retired_;
  unsigned steer_ = 0;
  uint64_t clock_ = 0;  // calls of Refresh
  ProcessMemory memory_;
  bool complete_ = false;   // the tables show what was loaded when the list was link_maps_
  uint64_t link_maps_ = 0;  // ReadLinkMaps()
  size_t next_check_ = 0;   // the root's object that is looked at next
  uint32_t next_child_ = 0;
  uint64_t deferred_ns_ = 0;  // when samples were deferred last; 0: their memory is given back
  uint64_t builds_left_ = 0;  // of chunks, for deferred samples
  uint64_t refilled_ns_ = 0;
  uint64_t root_changes_ = 0;  // how often the root showed other objects
  // Refreshes to let pass before an unknown pc leads to a scan again, and how many after the next
  // scan that finds nothing.
  unsigned patience_ = 0;
  unsigned next_patience_ = 1;
  UnwindStatus counters_;  // the counting fields
};

}  // namespace sonde
