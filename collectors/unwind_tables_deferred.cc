// SPDX-License-Identifier: Apache-2.0
// Samples and blocks that came before the tables: their walks are finished over the copies of their
// stacks, and every chunk on the way is built. Where there is no room for a chunk it is built for
// this one walk.
#include <algorithm>
#include <new>

#include "collectors/unwind_tables.h"

namespace sonde {
namespace {

// Chunks that may be built for this: 0.05 ms each, so at most 2 % of a core in the long run, and
// enough at once for the first seconds of a compiler.
constexpr uint64_t kBuildsPerSecond = 400;
constexpr uint64_t kMostBuilds = 4096;
constexpr uint64_t kMemoryIdleNs = 5'000'000'000;

}  // namespace

// What the walk over one copy asks for.
class UnwindTables::DeferredWalk {
 public:
  DeferredWalk(UnwindTables* tables, UnwindBuildTools* tools) : tables_(tables), tools_(tools) {}

  // False: the time for building is used up; it is to be tried again.
  bool Run(FinishedSample* out) {
    CopiedStack copy;
    const Registers& registers =
        out->block != nullptr ? CopyOf(*out->block, &copy) : CopyOf(*out->sample, &copy);
    copy.build = [](void* self, uint64_t pc) {
      return static_cast<DeferredWalk*>(self)->Build(pc);
    };
    copy.read_code = [](void* self, uint64_t address, void* bytes, size_t size) {
      return static_cast<DeferredWalk*>(self)->tables_->memory_.Read(address, bytes, size);
    };
    copy.context = this;
    const WalkResult walk =
        WalkCopiedStack(tables_->root_.index(), registers, copy, out->frames, kMaxDepth);
    if (walk.unknown_pc) tables_->root_.publication().NoteUnknownPc();
    out->depth = walk.depth;
    out->end = walk.end;
    return !out_of_builds_;
  }

 private:
  // Where the stack begins and ends; where the walk begins.
  static const Registers& CopyOf(const DeferredSample& sample, CopiedStack* copy) {
    copy->low = sample.low;
    copy->high = sample.low + std::min<uint64_t>(sample.stack_bytes, sizeof(sample.stack));
    copy->bytes = sample.stack;
    return sample.registers;
  }
  static const Registers& CopyOf(const DeferredBlock& block, CopiedStack* copy) {
    constexpr uint64_t kMost = DeferredBlocks::kMostPages * DeferredBlocks::kPageBytes;
    copy->low = block.low;
    copy->high = block.low + std::min(block.stack_bytes, kMost - sizeof(block));
    copy->bytes = block.stack();
    return block.registers;
  }

  const UnwindModule* Show(const UnwindTable& table) {
    static_cast<UnwindTable&>(shown_) = table;
    return &shown_;
  }

  const UnwindModule* Build(uint64_t pc) {
    UnwindEntry* const entry = tables_->root_.Find(pc);
    if (entry == nullptr) return nullptr;
    const auto there = entry->chunks().find(pc >> kUnwindChunkShift);
    if (there != entry->chunks().end()) return Show(there->second.table);
    if (tables_->builds_left_ == 0) {
      out_of_builds_ = true;
      return nullptr;
    }
    --tables_->builds_left_;
    const UnwindEntry::Outcome outcome =
        entry->BuildChunk(pc, tables_->clock_, tables_->memory_, tools_);
    tables_->Count(entry, outcome);
    if (outcome == UnwindEntry::Outcome::kNoRoom) return Show(tools_->block.module);
    const auto built = entry->chunks().find(pc >> kUnwindChunkShift);
    return built != entry->chunks().end() ? Show(built->second.table) : nullptr;
  }

  UnwindTables* const tables_;
  UnwindBuildTools* const tools_;
  UnwindModule shown_;
  bool out_of_builds_ = false;
};

bool UnwindTables::AnyDeferred() const {
  return (deferred_ != nullptr && deferred_->any()) ||
         (deferred_blocks_ != nullptr && deferred_blocks_->any());
}

void UnwindTables::ReturnDeferredMemory(uint64_t now_ns) {
  if (deferred_ns_ == 0 || now_ns <= deferred_ns_ + kMemoryIdleNs) return;
  if (deferred_ != nullptr) deferred_->ReturnMemory();
  if (deferred_blocks_ != nullptr) deferred_blocks_->ReturnMemory();
  deferred_ns_ = 0;
}

bool UnwindTables::FinishDeferred(uint64_t now_ns, FinishedSamples* sink) {
  if (!AnyDeferred()) {
    ReturnDeferredMemory(now_ns);
    return false;
  }
  deferred_ns_ = now_ns;
  RefillBuilds(now_ns);
  Reclaim();
  UnwindBuildTools tools = ToolsForChunks();
  FinishedSample finished;
  try {
    if (deferred_ != nullptr) {
      deferred_->TakeAll([&](const DeferredSample& sample) {
        finished.sample = &sample;
        return Finish(&finished, &tools, sink);
      });
    }
    finished.sample = nullptr;
    if (deferred_blocks_ != nullptr) {
      deferred_blocks_->TakeAll([&](const DeferredBlock& block) {
        finished.block = &block;
        return Finish(&finished, &tools, sink);
      });
    }
    if (std::exchange(room_wanted_, false)) MakeRoom();
  } catch (const std::bad_alloc&) {
    ++counters_.failures;
  }
  PublishDirty();
  return true;
}

bool UnwindTables::Finish(FinishedSample* finished, UnwindBuildTools* tools,
                          FinishedSamples* sink) {
  if (!DeferredWalk(this, tools).Run(finished)) return false;
  ++counters_.deferred;
  // All of a hook's frames are return addresses.
  if (finished->block != nullptr) ++finished->frames[0];
  sink->OnFinished(*finished);
  return true;
}

void UnwindTables::RefillBuilds(uint64_t now_ns) {
  constexpr uint64_t kNsPerBuild = 1'000'000'000 / kBuildsPerSecond;
  const uint64_t more = (now_ns - refilled_ns_) / kNsPerBuild;
  refilled_ns_ += more * kNsPerBuild;
  builds_left_ = std::min(builds_left_ + more, kMostBuilds);
}

}  // namespace sonde
