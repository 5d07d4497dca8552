// SPDX-License-Identifier: Apache-2.0
// What one process has loaded, and the index that its walkers use. Used by unwind_tables.cc on the
// agent thread; not thread-safe. Entries are shared by the views of processes that have the same
// objects, which forked children do. Memory: the lists; the index is in the arena.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <vector>

#include "collectors/safe/unwind_publication.h"
#include "collectors/unwind_tables_arena.h"
#include "collectors/unwind_tables_entry.h"

namespace sonde {

class UnwindView {
 public:
  using Entries = std::vector<std::shared_ptr<UnwindEntry>>;

  explicit UnwindView(UnwindPublication& publication) : publication_(publication) {}

  // From now on the view shows these; both ascending. The index follows with Publish.
  void Set(Entries entries, std::vector<CodeRange> other_code);

  // Makes an index of what the view shows and publishes it. Without room for one nothing is
  // published: walks go on without tables, or in a child with the root's. Either way the old index
  // is not published any more, and is returned. Cold path only.
  ArenaPiece Publish(TableArena& arena);
  // Takes the index away. Cold path only.
  ArenaPiece Unpublish();

  // Notes in the chunks which of them were used since the last call. Cold path only.
  void CollectUse(uint64_t now);

  // The entry whose code `pc` is in, or null.
  UnwindEntry* Find(uint64_t pc) const;
  // Calls sink(UnwindEntry*) for each with code in [low, high). Cold path only.
  template <typename Sink>
  void ForEachIn(uint64_t low, uint64_t high, Sink&& sink) const {
    for (const auto& entry : entries_) {
      const LoadedObject& object = entry->object();
      if (object.text_low < high && low < object.text_high) sink(entry.get());
    }
  }
  bool Has(const UnwindEntry* entry) const;

  UnwindPublication& publication() const { return publication_; }
  // The one that is published; null: none, or the root's.
  const UnwindIndex* index() const { return static_cast<const UnwindIndex*>(index_.data); }
  const Entries& entries() const { return entries_; }
  const std::vector<CodeRange>& other_code() const { return other_code_; }
  bool dirty() const { return dirty_; }
  void SetDirty() { dirty_ = true; }

 private:
  bool MakeIndex(TableArena& arena, ArenaPiece* piece) const;

  UnwindPublication& publication_;
  Entries entries_;
  std::vector<CodeRange> other_code_;
  ArenaPiece index_;
  bool dirty_ = false;
};

}  // namespace sonde
