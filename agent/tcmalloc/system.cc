// SPDX-License-Identifier: Apache-2.0
// What tcmalloc asks of a system, answered without libc where libc could call back, and without
// anything that the host would notice: no sbrk, no files, no environment, no output but the last
// line before an abort that libc's malloc would make, too.
#include <config.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <string_view>

#include "agent/runtime/resolve.h"
#include "base/spinlock.h"
#include "base/spinlock_internal.h"
#include "collectors/safe/sys.h"
#include "common.h"
#include "getenv_safe.h"
#include "internal_logging.h"
#include "maybe_threads.h"
#include "sampler.h"
#include "span.h"
#include "system-alloc.h"

extern "C" {
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso_handle);
extern void* __dso_handle __attribute__((visibility("hidden")));
}

size_t TCMalloc_SystemTaken = 0;

namespace {

namespace sys = sonde::sys;

constexpr size_t kSystemPage = 4096;

// Zeroed address space, aligned; null where the system refuses.
char* Map(size_t bytes, size_t alignment) {
  const auto map = [](size_t size) {
    const long result =
        sys::Call(SYS_mmap, 0L, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
    return sys::Failed(result) ? nullptr : reinterpret_cast<char*>(result);
  };
  const auto excess = [alignment](const char* at) {
    return reinterpret_cast<uintptr_t>(at) & (alignment - 1);
  };
  char* at = map(bytes);
  if (at == nullptr || excess(at) == 0) return at;
  sys::Call(SYS_munmap, at, bytes);
  const size_t more = bytes + alignment - kSystemPage;
  at = map(more);
  if (at == nullptr) return nullptr;
  const size_t before = excess(at) == 0 ? 0 : alignment - excess(at);
  if (before != 0) sys::Call(SYS_munmap, at, before);
  const size_t after = more - bytes - before;
  if (after != 0) sys::Call(SYS_munmap, at + before + bytes, after);
  return at + before;
}

// tcmalloc aborts where there is no memory for its own records (spans, the index of pages, thread
// caches), so that must not happen: a heap page is given out only once there is room for all that
// may be written about it. That is one Span and 8 bytes of the index for 8 KiB, and as much again,
// because a chunk of records may end half used. The slack is for what does not grow with the heap.
// All under tcmalloc's page heap lock.
constexpr size_t kHeapBytesARecordByte = 48;
static_assert(kPageSize / kHeapBytesARecordByte >= 2 * (sizeof(::tcmalloc::Span) + sizeof(void*)));
constexpr size_t kRecordSlack = size_t{640} << 10;
constexpr size_t kRecordsChunk = size_t{256} << 10;  // at least twice what is asked for at once
constexpr size_t kRecordsStep = size_t{256} << 10;

struct Records {
  char* next = nullptr;
  size_t left = 0;  // behind `next`
  size_t mapped = 0;
};
constinit Records g_records;
constinit size_t g_heap_bytes = 0;

// What was left of the step before is lost: less than a chunk, or the heap grew by much at once.
bool MapRecords(size_t bytes) {
  const size_t step = std::max(kRecordsStep, (bytes + kRecordsStep - 1) & ~(kRecordsStep - 1));
  char* const at = Map(step, kSystemPage);
  if (at == nullptr) return false;
  if (at + step == g_records.next) {  // as the kernel does it: downwards
    g_records.left += step;
  } else {
    g_records.left = step;
  }
  g_records.next = at;
  g_records.mapped += step;
  return true;
}

bool HaveRoomForRecordsOf(size_t heap_bytes) {
  const size_t needed = heap_bytes / kHeapBytesARecordByte + kRecordSlack;
  return g_records.mapped >= needed || MapRecords(needed - g_records.mapped);
}

void* TakeRecords(size_t* actual) {
  if (g_records.left < kRecordsChunk && !MapRecords(kRecordsChunk)) return nullptr;
  char* const chunk = g_records.next;
  g_records.next += kRecordsChunk;
  g_records.left -= kRecordsChunk;
  *actual = kRecordsChunk;
  return chunk;
}

void* TakeHeap(size_t bytes) {
  if (!HaveRoomForRecordsOf(g_heap_bytes + bytes)) return nullptr;
  char* const at = Map(bytes, kPageSize);
  if (at != nullptr) g_heap_bytes += bytes;
  return at;
}

// A thread's cache goes with the thread: by a key of pthread, of which a process has 1,024 and the
// host sees how many are left, so it is made when a second thread allocates, and not for the first
// one, which ends with the process. (__cxa_thread_atexit_impl would come too early: destructors of
// the host's keys allocate, too.) Before glibc 2.34 keys lie in a library that a process without
// threads lacks.
using KeyCreate = int (*)(pthread_key_t*, void (*)(void*));
using KeyDelete = int (*)(pthread_key_t);
using SetSpecific = int (*)(pthread_key_t, const void*);
using Destructor = void (*)(void*);

constexpr int64_t kNoKey = -1;
constinit std::atomic<int64_t> g_key{kNoKey};
constinit std::atomic<SetSpecific> g_set_specific{nullptr};
constinit Destructor g_destroy = nullptr;

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(sonde::runtime::NextSymbol(name));
}

bool IsFirstThread() { return sys::Gettid() == sys::Getpid(); }

bool HaveKey() {
  if (g_key.load(std::memory_order_acquire) != kNoKey) return true;
  const auto create = Next<KeyCreate>("pthread_key_create");
  const auto set = Next<SetSpecific>("pthread_setspecific");
  pthread_key_t key = 0;
  if (create == nullptr || set == nullptr || create(&key, g_destroy) != 0) return false;
  g_set_specific.store(set, std::memory_order_relaxed);
  int64_t before = kNoKey;
  if (!g_key.compare_exchange_strong(before, key)) {  // another thread was first
    if (const auto remove = Next<KeyDelete>("pthread_key_delete")) remove(key);
  }
  return true;
}

class Line {
 public:
  void Add(std::string_view text) {
    for (const char c : text) {
      if (size_ < sizeof(text_)) text_[size_++] = c;
    }
  }
  void Print() const { sys::Call(SYS_write, 2, text_, size_); }

 private:
  char text_[512];
  size_t size_ = 0;
};

}  // namespace

// Asked for records (by a chunk of 8 MiB; any size will do), or for pages of the heap.
void* TCMalloc_SystemAlloc(size_t bytes, size_t* actual_bytes, size_t alignment) {
  if (alignment < kPageSize && actual_bytes != nullptr) return TakeRecords(actual_bytes);
  const size_t whole = (bytes + kPageSize - 1) & ~(kPageSize - 1);
  if (whole < bytes || whole > PTRDIFF_MAX) return nullptr;
  void* const at = TakeHeap(whole);
  if (actual_bytes != nullptr) *actual_bytes = whole;
  return at;
}

bool TCMalloc_SystemRelease(void* start, size_t length) {
  return !sys::Failed(sys::Call(SYS_madvise, start, length, MADV_DONTNEED));
}

void TCMalloc_SystemCommit(void*, size_t) {}

extern "C" const char* TCMallocGetenvSafe(const char*) { return nullptr; }

// How long to spin for a lock depends on whether there is a second processor. Also while a static
// constructor runs.
int GetSystemCPUsCount() {
  uint64_t mask[16] = {};
  const long bytes = sys::Call(SYS_sched_getaffinity, 0L, sizeof(mask), mask);
  int count = 0;
  if (sys::Failed(bytes)) return 2;
  for (const uint64_t word : mask) count += __builtin_popcountll(word);
  return count;
}

int perftools_pthread_key_create(pthread_key_t* key, void (*destructor)(void*)) {
  g_destroy = destructor;
  *key = 0;
  return 0;
}

// A thread whose cache no destructor knows would keep it for good.
int perftools_pthread_setspecific(pthread_key_t, void* value) {
  if (IsFirstThread() || !HaveKey()) return 0;
  const auto key = static_cast<pthread_key_t>(g_key.load(std::memory_order_acquire));
  return g_set_specific.load(std::memory_order_relaxed)(key, value);
}

void perftools_pthread_atfork(void (*before)(), void (*parent)(), void (*child)()) {
  __register_atfork(before, parent, child, __dso_handle);
}

namespace base::internal {

// Waits a moment for a wake-up: one may get lost where a thread is killed, so never for ever.
void SpinLockDelay(volatile Atomic32* word, int32 value, int loop) {
  constexpr long kFirstNs = 50'000, kMostDoublings = 8;
  const timespec pause{0, kFirstNs << std::min<long>(loop, kMostDoublings)};
  sys::Call(SYS_futex, const_cast<Atomic32*>(word), FUTEX_WAIT_PRIVATE, value, &pause);
}

void SpinLockWake(volatile Atomic32* word, bool all) {
  sys::Call(SYS_futex, const_cast<Atomic32*>(word), FUTEX_WAKE_PRIVATE, all ? INT_MAX : 1);
}

}  // namespace base::internal

namespace tcmalloc {

// It does not sample: the hooks in front of it do.
void Sampler::Init(uint64_t) {}
int Sampler::GetSamplePeriod() { return 0; }

class Logger {
 public:
  static std::string_view TextOf(const LogItem& item) {
    return item.tag_ == LogItem::kStr ? item.u_.str : "";
  }
};

// Comes only where the heap is damaged, or with kLog, which is of no interest to the host.
void Log(LogMode mode, const char*, int, LogItem a, LogItem, LogItem, LogItem) {
  if (mode == kLog) return;
  Line line;
  line.Add("libsonde-tcmalloc.so: ");
  line.Add(Logger::TextOf(a));
  line.Add("\n");
  line.Print();
  abort();
}

}  // namespace tcmalloc
