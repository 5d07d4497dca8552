// SPDX-License-Identifier: Apache-2.0
#include "collectors/memory_page_pages.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kPageBytes = 4096;

// Documentation/admin-guide/mm/pagemap.rst
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kSwapped = uint64_t{1} << 62;
constexpr uint64_t kFileOrShared = uint64_t{1} << 61;
constexpr uint64_t kExclusive = uint64_t{1} << 56;

}  // namespace

uint64_t ThreadCpuNs() {
  timespec now{};
  sys::Call(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

ResidentPages::ResidentPages()
    : fd_(sys::Call(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}

ResidentPages::~ResidentPages() {
  if (exact()) sys::Call(SYS_close, fd_);
}

void ResidentPages::ForgetForTesting() {
  if (exact()) sys::Call(SYS_close, fd_);
  fd_ = -1;
}

size_t ResidentPages::ReadEntries(uint64_t page, size_t wanted) {
  wanted = std::min(wanted, kEntries);
  if (exact()) {
    const long got =
        sys::Call(SYS_pread64, fd_, entries_, wanted * sizeof(uint64_t), page * sizeof(uint64_t));
    return sys::Failed(got) ? 0 : static_cast<size_t>(got) / sizeof(uint64_t);
  }
  unsigned char present[kEntries];
  if (sys::Failed(sys::Call(SYS_mincore, page * kPageBytes, wanted * kPageBytes, present)))
    return 0;
  for (size_t i = 0; i < wanted; ++i) {
    entries_[i] = (present[i] & 1) != 0 ? kPresent | kExclusive : 0;
  }
  return wanted;
}

void ResidentPages::Add(size_t entries, PageCounts* counts) const {
  for (size_t i = 0; i < entries; ++i) {
    const uint64_t entry = entries_[i];
    if (entry == 0) continue;
    if ((entry & kSwapped) != 0) counts->swapped += kPageBytes;
    if ((entry & kPresent) == 0) continue;
    counts->present += kPageBytes;
    if ((entry & kFileOrShared) != 0) {
      counts->file += kPageBytes;
    } else if ((entry & kExclusive) == 0) {
      counts->ambiguous += kPageBytes;
    }
  }
}

uint64_t ResidentPages::Count(uint64_t low, uint64_t high, const WorkBudget& budget,
                              PageCounts* counts) {
  uint64_t page = (low + kPageBytes - 1) / kPageBytes;
  const uint64_t end = high / kPageBytes;
  while (page < end) {
    const size_t entries = ReadEntries(page, end - page);
    if (entries == 0) break;
    Add(entries, counts);
    page += entries;
    if (page < end && budget.IsUsedUp()) break;
  }
  return page < end ? page * kPageBytes : high;
}

uint64_t ResidentPages::PresentUntil(uint64_t low, uint64_t high) {
  constexpr uint64_t kMost = 64;
  const uint64_t first = low / kPageBytes;
  const uint64_t pages = std::min((high + kPageBytes - 1) / kPageBytes - first, kMost);
  const uint64_t entries = ReadEntries(first, pages);
  uint64_t present = 0;
  while (present < entries && (entries_[present] & kPresent) != 0) ++present;
  return present == 0 ? low : std::min(high, (first + present) * kPageBytes);
}

}  // namespace sonde
