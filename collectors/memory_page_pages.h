// SPDX-License-Identifier: Apache-2.0
// How many pages of a range are in memory, from /proc/self/pagemap. Agent thread only. One
// descriptor, opened with the object because the file is the owner's alone (0400), and a service
// that drops its privileges loses it; 32 KiB of buffer.
//
// Why pagemap: the kernel takes the address space's lock for 2 MiB of addresses at a time, for
// reading, so no mmap or page fault of the host waits longer than for 512 entries (about 20 µs).
// smaps holds it for a whole mapping, 15 ms/GiB, and smaps_rollup for all of them. Measured at 4
// KiB pages: 11 ms of CPU a GiB in memory, 1.3 ms a GiB of holes, 0.9 ms a GiB of huge pages.
//
// Without it (a process that gave up its privileges before this was made) mincore() tells the same
// of memory of no file, which it needs no right for. Of a file's pages it only tells whether
// anybody has them in memory: see exact().
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sonde {

struct PageCounts {
  uint64_t present = 0;    // bytes
  uint64_t file = 0;       // of them, of a file or of shared memory
  uint64_t ambiguous = 0;  // of them, private and not ours alone: shared after a fork, or zero page
  uint64_t swapped = 0;
};

// CPU time of the calling thread. Cold path only.
uint64_t ThreadCpuNs();

// How long a piece of work may go on: it looks every few thousand steps, at least each millisecond.
struct WorkBudget {
  uint64_t deadline_ns = UINT64_MAX;  // on the thread's CPU clock
  bool (*must_stop)() = nullptr;      // the thread is wanted elsewhere
  [[nodiscard]] bool IsUsedUp() const {
    return ThreadCpuNs() > deadline_ns || (must_stop != nullptr && must_stop());
  }
};

class ResidentPages {
 public:
  ResidentPages();
  ~ResidentPages();
  ResidentPages(const ResidentPages&) = delete;
  ResidentPages& operator=(const ResidentPages&) = delete;

  // Everything is counted as it is. False: pages of files are counted that others have in memory,
  // and neither swapped nor ambiguous ones are known.
  [[nodiscard]] bool exact() const { return fd_ >= 0; }
  // Closes the file, as if it had never been there.
  void ForgetForTesting();

  // Counts whole pages of [low, high). Returns where the budget ended, `high` when it counted all.
  // Cold path only.
  uint64_t Count(uint64_t low, uint64_t high, const WorkBudget& budget, PageCounts* counts);

  // The end of the pages in memory that begin with the one of `low`; `low` when it is not there.
  // At most 64 pages are looked at. Cold path only.
  [[nodiscard]] uint64_t PresentUntil(uint64_t low, uint64_t high);

 private:
  static constexpr size_t kEntries = 4096;
  void Add(size_t entries, PageCounts* counts) const;
  // Entries of the pages from `page` on; how many there are.
  size_t ReadEntries(uint64_t page, size_t wanted);

  long fd_;
  uint64_t entries_[kEntries];
};

}  // namespace sonde
