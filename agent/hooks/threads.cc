// SPDX-License-Identifier: Apache-2.0
// pthread_create. A new thread enters through a stub that jumps to the host's function, so no frame
// of ours stays on its stack: backtraces, cancellation and exceptions are the host's own.
#include "agent/life/threads.h"

#include <pthread.h>
#include <threads.h>

#include "agent/hooks/hook.h"
#include "agent/hooks/versions.h"

SONDE_REAL(pthread_create);
SONDE_REAL(thrd_create);
SONDE_REAL(pthread_exit);
SONDE_REAL(thrd_exit);
SONDE_REAL(pthread_cancel);

// rdi = StartRecord*. Calls SondeThreadBegin, which gives back {function, argument}, and jumps
// there with the stack as it found it.
asm(R"(
.text
.balign 16
.hidden sonde_thread_entry
.globl sonde_thread_entry
.type sonde_thread_entry, @function
sonde_thread_entry:
  .cfi_startproc
  endbr64
  sub $8, %rsp
  .cfi_adjust_cfa_offset 8
  call SondeThreadBegin
  add $8, %rsp
  .cfi_adjust_cfa_offset -8
  mov %rdx, %rdi
  notrack jmp *%rax
  .cfi_endproc
.size sonde_thread_entry, .-sonde_thread_entry
)");
extern "C" void* sonde_thread_entry(void*);

extern "C" __attribute__((visibility("hidden"), used)) sonde::life::StartRoutine SondeThreadBegin(
    void* record) {
  return sonde::life::BeginThread(record);
}

SONDE_EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                void* (*function)(void*), void* argument) {
  sonde::life::NoteThreadCreation();
  const sonde::life::Creator creator = sonde::life::NoteCreator(sonde::ThisHookFrame());
  void* record = sonde::life::ClaimStart(function, argument, creator);
  int error = 0;
  if (record == nullptr) {
    error = real_pthread_create.get()(thread, attributes, function, argument);
  } else {
    error = real_pthread_create.get()(thread, attributes, sonde_thread_entry, record);
    if (error != 0) sonde::life::DropStart(record);
  }
  if (error == 0) sonde::life::CountCreation(creator);
  return error;
}

// libc's own calls its pthread_create directly. The entry's jump does not mind what the function
// gives back.
SONDE_EXPORT int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  auto* real = real_thrd_create.get();
  if (real == nullptr) return thrd_error;  // a libc older than C11 threads
  sonde::life::NoteThreadCreation();
  const sonde::life::Creator creator = sonde::life::NoteCreator(sonde::ThisHookFrame());
  void* record = sonde::life::ClaimStart(
      reinterpret_cast<void* (*)(void*)>(reinterpret_cast<void*>(function)), argument, creator);
  int result = thrd_success;
  if (record == nullptr) {
    result = real(thread, function, argument);
  } else {
    result =
        real(thread, reinterpret_cast<thrd_start_t>(reinterpret_cast<void*>(sonde_thread_entry)),
             record);
    if (result != thrd_success) sonde::life::DropStart(record);
  }
  if (result == thrd_success) sonde::life::CountCreation(creator);
  return result;
}

// libc calls exit(0) when its last thread ends, and counts ours.
SONDE_EXPORT void pthread_exit(void* value) {
  sonde::life::BeforeThreadExit();
  real_pthread_exit.get()(value);
  __builtin_unreachable();
}

SONDE_EXPORT void thrd_exit(int value) {
  sonde::life::BeforeThreadExit();
  real_thrd_exit.get()(value);
  __builtin_unreachable();
}

SONDE_EXPORT int pthread_cancel(pthread_t thread) {
  sonde::life::BeforeCancel(thread);
  return real_pthread_cancel.get()(thread);
}

SONDE_EXPORT_AS(pthread_create, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(thrd_create, "GLIBC_2.28", "GLIBC_2.34");
SONDE_EXPORT_AS(thrd_exit, "GLIBC_2.28", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_cancel, "GLIBC_2.2.5", "GLIBC_2.34");
