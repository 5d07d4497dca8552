// SPDX-License-Identifier: Apache-2.0
// Builds the unwind tables of everything that is loaded and keeps them up to date.
//
// Owned and called by the agent thread only; not thread-safe. It hooks nothing and takes no lock:
// loads and unloads show in the loader's list (unwind_tables_link_map.h) and in the first bytes of
// each object, new JIT code in a flag that the walker sets. Memory: tables, replaced tables that a
// walker may still read stay within the budget (an index of some KiB comes on top); what does not
// fit gets no table and is listed as such. While it builds it also holds one copy of an object's
// .eh_frame and its rows.
//
// A forked child keeps the tables it was born with (private memory, shared until written), and its
// walker uses them.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

#include "collectors/process_memory.h"
#include "collectors/safe/unwind_index.h"
#include "collectors/unwind_tables_objects.h"
#include "collectors/unwind_tables_rows.h"

namespace sonde {

inline constexpr size_t kDefaultUnwindBudgetBytes = size_t{4} << 20;

enum class UnwindCoverage : uint8_t {
  kCovered,
  kNoUnwindData,  // no .eh_frame, or one without any function
  kUnreadable,    // .eh_frame is not where the object says
  kOverBudget,    // its table would not fit
};

struct UnwindModuleStatus {
  std::string name;  // as in LoadedObject
  uint64_t base = 0;
  uint64_t image = 0;  // where its ELF header is
  uint64_t text_low = 0;
  uint64_t text_high = 0;
  UnwindCoverage coverage = UnwindCoverage::kNoUnwindData;
  size_t bytes = 0;
  UnwindRowCounts counts;
};

struct UnwindStatus {
  std::vector<UnwindModuleStatus> modules;
  size_t not_covered = 0;        // modules whose coverage is not kCovered
  size_t other_code_ranges = 0;  // executable mappings that are no object's
  size_t bytes = 0;              // in use, retired ones included
  size_t retired_bytes = 0;      // kept for a walker that may still read them
  size_t budget_bytes = 0;
  uint64_t refreshes = 0;  // that published an index
  uint64_t failures = 0;   // the old index stayed
  uint64_t scans = 0;      // of all mappings
  // A sentence, or null: why the tables are not what they could be.
  const char* problem = nullptr;
};

class UnwindTables {
 public:
  UnwindTables(UnwindPublication& publication, size_t budget_bytes)
      : publication_(publication), budget_bytes_(budget_bytes) {}
  // Unpublishes. No walk may be under way: in the agent, this object lives for ever.
  ~UnwindTables();
  UnwindTables(const UnwindTables&) = delete;
  UnwindTables& operator=(const UnwindTables&) = delete;

  // Brings the tables up to date, if anything has changed, and frees what no walker can be reading
  // any more. Call it every second or so: while nothing changes it reads the loader's list and the
  // first bytes of a few objects; the mappings are read only else. True if a new index was
  // published. Cold path only.
  bool Refresh();

  // A new agent thread has this object from the one before, and descriptors of its own. Cold path
  // only.
  void OnNewAgentThread() { memory_.Reopen(); }

  // Throws std::bad_alloc. Cold path only.
  UnwindStatus Status() const;

 private:
  struct Entry {
    LoadedObject object;
    UnwindCoverage coverage = UnwindCoverage::kNoUnwindData;
    UnwindBlock block;
    size_t needed_bytes = 0;  // of a table that did not fit
  };
  using Entries = std::vector<std::unique_ptr<Entry>>;
  // What the next index will hold: for each object the place of its entry, old or newly built.
  using Plan = std::vector<std::unique_ptr<Entry>*>;
  struct Retired {
    TableMemory memory;
    bool idle[2] = {false, false};  // which reader counts were seen at zero since
  };

  bool SomeObjectsAreTheSame();
  void NoteUnknownPcScan(bool published);
  bool Scan();
  bool Update(CodeList code);
  std::unique_ptr<Entry>* FindReusable(const LoadedObject& object);
  void Build(Entry* entry, UnwindRowBuilder& builder, TableMemory& section_memory) const;
  bool Publish(const Plan& plan, std::vector<CodeRange> other_code);
  void Retire(TableMemory memory);
  void Reclaim();
  size_t BytesInUse() const;

  UnwindPublication& publication_;
  const size_t budget_bytes_;
  size_t pending_bytes_ = 0;  // of tables built but not yet in entries_
  Entries entries_;
  std::vector<CodeRange> other_code_;
  TableMemory index_;
  std::vector<Retired> retired_;
  unsigned steer_ = 0;
  ProcessMemory memory_;
  bool complete_ = false;   // the tables show what was loaded when the list was link_maps_
  uint64_t link_maps_ = 0;  // ReadLinkMaps()
  size_t next_check_ = 0;   // the entry whose object is looked at next
  // Refreshes to let pass before an unknown pc leads to a scan again, and how many after the next
  // scan that finds nothing.
  unsigned patience_ = 0;
  unsigned next_patience_ = 1;
  uint64_t scans_ = 0;
  uint64_t refreshes_ = 0;
  uint64_t failures_ = 0;
};

}  // namespace sonde
