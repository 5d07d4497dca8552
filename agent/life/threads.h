// SPDX-License-Identifier: Apache-2.0
// What happens where the host makes a thread. Called by the pthread_create hook and by the entry of
// the new thread. Any thread. Memory: a fixed pool of start records; when it is used up a thread
// simply starts without us.
#pragma once

#include <pthread.h>

#include <cstdint>

#include "collectors/safe/hook_record.h"

namespace sonde::life {

// Returned in rax and rdx, as the assembly entry expects.
struct StartRoutine {
  void* (*function)(void*);
  void* argument;
};

// The host is about to make a thread: it is no longer single-threaded, and this may be the moment
// to activate.
void NoteThreadCreation();

// In a fork child: it has one thread, whatever its parent had.
void ForgetHostThreads();

// True once the host made a thread of its own through pthread_create; how many it made, modulo
// 2^32.
bool HostMadeThreads();
uint32_t ThreadsMade();

// The agent thread, when it looks at threads but seldom: the next thread that the host makes shall
// wake it. And whether that happened.
void AskForThreadNews(bool wanted);
bool TakeThreadNews();

// The stack that is about to make a thread, and for how many threads it stands (creator_draw.h);
// hash 0: nobody wants to know, or this one is left out.
struct Creator {
  HookStack stack;
  uint32_t weight = 1;  // a power of two
};

// Once the thread is there it is counted. Malloc-safe: may not allocate or block.
Creator NoteCreator(const HookFrame& caller);
void CountCreation(const Creator& creator);

// A record that carries function and argument to the new thread, or null when new threads need
// nothing from us. Malloc-safe: may not allocate or block.
void* ClaimStart(void* (*function)(void*), void* argument, const Creator& creator);
void DropStart(void* record);

// First thing in the new thread: frees the record, notes who made the thread and, where no sweep
// would find it soon enough, arms its CPU timer.
StartRoutine BeginThread(void* record);

// The calling thread is about to leave through pthread_exit: when it is the main thread, the agent
// ends.
void BeforeThreadExit();

// A thread is about to be cancelled: the same, when it is the main thread.
void BeforeCancel(pthread_t thread);

// Remembers the main thread. Constructor only.
void NoteMainThread();

}  // namespace sonde::life
