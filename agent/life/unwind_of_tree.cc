// SPDX-License-Identifier: Apache-2.0
#include "agent/life/unwind_of_tree.h"

#include <sys/mman.h>

#include <cstddef>

#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/deferred_blocks.h"
#include "collectors/safe/deferred_samples.h"
#include "collectors/safe/heap_sampler.h"
#include "collectors/safe/sys.h"
#include "collectors/safe/unwind_publication.h"

namespace sonde::life {
namespace {

constinit UnwindTables* g_tables = nullptr;

// Zero pages are an empty one of either shape; null: there is no memory.
template <typename Shape>
Shape* MapZeroed(int sharing) {
  const long at = sys::Call(SYS_mmap, 0L, sizeof(Shape), PROT_READ | PROT_WRITE,
                            sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1L, 0L);
  return sys::Failed(at) ? nullptr : reinterpret_cast<Shape*>(at);
}

// A child that takes the tree over has its parent's, as of the fork.
template <typename Pool>
Pool* TheOnly() {
  static constinit Pool* pool = nullptr;
  if (pool == nullptr) {
    pool = MapZeroed<Pool>(MAP_PRIVATE);
    // Zeros in children, where the kernel can do that (Linux 4.14).
    if (pool != nullptr) sys::Call(SYS_madvise, pool, sizeof(*pool), MADV_WIPEONFORK);
  } else {
    pool->Forget();
  }
  return pool;
}

}  // namespace

UnwindTables* TheUnwindTables(int64_t memory_limit_bytes) {
  if (g_tables == nullptr) {
    auto* const share = MapZeroed<UnwindShare>(MAP_SHARED);
    auto* const deferred = TheOnly<DeferredSamples>();
    auto* const blocks = TheOnly<DeferredBlocks>();
    SetCpuUnwindTables(share, deferred);
    const size_t budget_bytes = static_cast<size_t>(memory_limit_bytes) / 4;
    g_tables = new UnwindTables(CpuUnwindTables(), budget_bytes, share, deferred, blocks);
    SetDeferredBlocks(blocks);
  } else {
    g_tables->OnNewAgentThread();
  }
  return g_tables;
}

void UnwindTablesAfterFork() { g_tables = nullptr; }

}  // namespace sonde::life
