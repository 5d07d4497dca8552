// SPDX-License-Identifier: Apache-2.0
// Threads that submit to an io_uring and wait in the same call. It burns CPU in there before it
// waits, so an agent's CPU timer can expire inside it; the wait must not end for that. A short wait
// in the start phase is one that an agent may need to learn of the thread.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/hosts/host.h"

enum { kSkipped = 77, kBlockBytes = 8 << 20, kStartRounds = 500, kRounds = 2000 };

typedef long (*Enter)(int fd, unsigned submit, unsigned wait_for);

// As liburing does it.
static long EnterInline(int fd, unsigned submit, unsigned wait_for) {
  long result = SYS_io_uring_enter;
  register long flags __asm__("r10") = IORING_ENTER_GETEVENTS;
  register void* mask __asm__("r8") = NULL;
  register long size __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(fd), "S"(submit), "d"(wait_for), "r"(flags), "r"(mask), "r"(size)
                   : "rcx", "r11", "memory");
  return result;
}

// As programs without liburing do it.
static long EnterByLibc(int fd, unsigned submit, unsigned wait_for) {
  return syscall(SYS_io_uring_enter, fd, submit, wait_for, IORING_ENTER_GETEVENTS, NULL, 0);
}

// As programs do it that have one routine for all calls: the code before does not show the number.
static volatile long number_from_elsewhere = SYS_io_uring_enter;
static long EnterByRoutine(int fd, unsigned submit, unsigned wait_for) {
  long result = number_from_elsewhere;
  register long flags __asm__("r10") = IORING_ENTER_GETEVENTS;
  register void* mask __asm__("r8") = NULL;
  register long size __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(fd), "S"(submit), "d"(wait_for), "r"(flags), "r"(mask), "r"(size)
                   : "rcx", "r11", "memory");
  return result;
}

typedef struct {
  int fd;
  int file;
  char* block;
  struct io_uring_sqe* entries;
  unsigned* submit_tail;
  unsigned* submit_mask;
  unsigned* submit_index;
  unsigned* done_head;
  unsigned* done_tail;
} Ring;

static void* MapRing(int fd, off_t offset, size_t size) {
  void* at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  return at == MAP_FAILED ? NULL : at;
}

// Not libc's syscall(): nothing tells an agent that there will be a ring.
static long Setup(unsigned entries, struct io_uring_params* params) {
  long result = SYS_io_uring_setup;
  __asm__ volatile("syscall" : "+a"(result) : "D"(entries), "S"(params) : "rcx", "r11", "memory");
  return result;
}

static bool OpenRing(Ring* ring) {
  struct io_uring_params params;
  memset(&params, 0, sizeof params);
  ring->fd = (int)Setup(8, &params);
  if (ring->fd < 0) return false;
  const size_t size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  char* queues = MapRing(ring->fd, IORING_OFF_SQ_RING, size);
  ring->entries = MapRing(ring->fd, IORING_OFF_SQES, 8 * sizeof(struct io_uring_sqe));
  if (queues == NULL || ring->entries == NULL) return false;
  ring->submit_tail = (unsigned*)(queues + params.sq_off.tail);
  ring->submit_mask = (unsigned*)(queues + params.sq_off.ring_mask);
  ring->submit_index = (unsigned*)(queues + params.sq_off.array);
  ring->done_head = (unsigned*)(queues + params.cq_off.head);
  ring->done_tail = (unsigned*)(queues + params.cq_off.tail);
  // A file whose reads the kernel does in the call, not by a worker.
  ring->file = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  ring->block = calloc(1, kBlockBytes);
  return ring->file >= 0 && ring->block != NULL;
}

static struct io_uring_sqe* Add(Ring* ring, int operation) {
  const unsigned tail = *ring->submit_tail, at = tail & *ring->submit_mask;
  struct io_uring_sqe* entry = &ring->entries[at];
  memset(entry, 0, sizeof *entry);
  entry->opcode = (unsigned char)operation;
  ring->submit_index[at] = at;
  __atomic_store_n(ring->submit_tail, tail + 1, __ATOMIC_RELEASE);
  return entry;
}

static unsigned Done(const Ring* ring) {
  return __atomic_load_n(ring->done_tail, __ATOMIC_ACQUIRE) - *ring->done_head;
}

// A read that costs the caller CPU time, and a timeout that it waits for. True: both had come when
// the call returned.
static bool RoundIsWhole(Ring* ring, Enter enter) {
  const struct __kernel_timespec pause = {0, 1000000};
  memset(ring->block, 1, kBlockBytes / 8);  // some user time
  struct io_uring_sqe* entry = Add(ring, IORING_OP_READ);
  entry->fd = ring->file;
  entry->addr = (uintptr_t)ring->block;
  entry->len = kBlockBytes;
  entry = Add(ring, IORING_OP_TIMEOUT);
  entry->fd = -1;
  entry->addr = (uintptr_t)&pause;
  entry->len = 1;
  const bool whole = enter(ring->fd, 2, 2) == 2 && Done(ring) == 2;
  while (Done(ring) < 2) enter(ring->fd, 0, 2 - Done(ring));
  __atomic_store_n(ring->done_head, *ring->done_head + 2, __ATOMIC_RELEASE);
  return whole;
}

static int Rounds(Ring* ring, Enter enter, int count) {
  int short_ones = 0;
  for (int i = 0; i < count; i++) short_ones += !RoundIsWhole(ring, enter);
  return short_ones;
}

static int RunRounds(Enter enter) {
  Ring ring;
  if (!OpenRing(&ring)) {
    Say("skipped: this machine has no io_uring for us");
    return kSkipped;
  }
  const int at_first = Rounds(&ring, enter, kStartRounds);
  if (getenv("HOST_SAY_ALL") != NULL) Say("short waits at first: %d", at_first);
  Say("short waits: %d of %d", Rounds(&ring, enter, kRounds), kRounds);
  return 0;
}

HOST_CASE(uring_waits_last, tgkill_storm, fast) { return RunRounds(EnterInline); }

HOST_CASE(uring_waits_by_libc_last, tgkill_storm, slow) { return RunRounds(EnterByLibc); }

HOST_CASE(uring_waits_by_routine_last, tgkill_storm, slow) { return RunRounds(EnterByRoutine); }

static void* BurnBefore(void* burnt) {
  Burn(1500);
  *(int*)burnt = RunRounds(EnterInline);
  return NULL;
}

// Armed long before there is a ring.
HOST_CASE(uring_waits_of_a_busy_thread_last, tgkill_storm, slow) {
  int result = 0;
  pthread_t thread;
  pthread_create(&thread, NULL, BurnBefore, &result);
  pthread_join(thread, NULL);
  return result;
}

static int RunInChild(void* unused) {
  (void)unused;
  Burn(50);
  return RunRounds(EnterInline);
}

// No agent sweeps there.
HOST_CASE(uring_waits_of_a_child_last, tgkill_storm_in_children, slow) {
  const int status = InChild(RunInChild, NULL);
  SayStatus("child", status);
  return 0;
}
