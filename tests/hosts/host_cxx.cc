// SPDX-License-Identifier: Apache-2.0
// C++ hosts: exceptions, unwinding by cancellation, thread-local objects, and the shortcuts of
// single-threaded programs.
#include <pthread.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/hosts/host.h"

namespace {

// libstdc++ and the C library skip atomics and locks while this holds: a thread of ours would slow
// the host down.
HOST_CASE(single_threaded_shortcuts_stay, thread_at_start, fast) {
  Burn(60);
  if (!AgentThreadIsAllowed()) Say("single-threaded: %d", __libc_single_threaded);
  const auto shared = std::make_shared<int>(5);
  const auto copy = shared;
  Say("use count %ld", shared.use_count());
  return 0;
}

int ThrowAt(int depth) {
  if (depth == 0) throw std::runtime_error("from the depth");
  const std::string guard(static_cast<size_t>(depth % 40 + 20), 'x');
  return ThrowAt(depth - 1) + static_cast<int>(guard.size());
}

int CatchMany(int rounds) {
  int caught = 0;
  for (int i = 0; i < rounds; i++) {
    try {
      ThrowAt(i % 50);
    } catch (const std::exception& error) {
      caught += std::string(error.what()) == "from the depth";
    }
  }
  return caught;
}

HOST_CASE(exceptions_in_many_threads, exception_breaker, fast) {
  HostMadeThread();
  std::vector<std::future<int>> results;
  for (int i = 0; i < 4; i++) results.push_back(std::async(std::launch::async, CatchMany, 3000));
  int caught = 0;
  for (auto& result : results) caught += result.get();
  Say("caught %d", caught);
  return 0;
}

HOST_CASE(exceptions_cross_threads, exception_breaker, fast) {
  HostMadeThread();
  auto result = std::async(std::launch::async, [] { return ThrowAt(20); });
  try {
    result.get();
  } catch (const std::runtime_error& error) {
    Say("caught from the thread: %s", error.what());
  }
  try {
    std::string().at(3);
  } catch (const std::out_of_range&) {
    Say("caught from the library");
  }
  return 0;
}

HOST_CASE(exception_thrown_out_of_a_signal_free_thread_terminates, signal_catcher, fast) {
  SayStatus("uncaught", InChild(
                            [](void*) -> int {
                              std::set_terminate([] {
                                Say("terminate called");
                                std::abort();
                              });
                              std::thread([] { ThrowAt(3); }).join();
                              return 0;
                            },
                            nullptr));
  return 0;
}

struct Tracer {
  explicit Tracer(std::atomic<int>* counter) : counter_(counter) {}
  ~Tracer() { ++*counter_; }
  std::atomic<int>* counter_;
};

std::atomic<int> unwound{0};

void* BlockWithObjects(void*) {
  const Tracer outer(&unwound);
  try {
    const Tracer inner(&unwound);
    for (;;) {
      Burn(1);
      usleep(500000);
    }
  } catch (...) {
    unwound += 10;
    throw;
  }
}

HOST_CASE(cancellation_unwinds_objects, noexcept_hooks, fast) {
  for (int i = 0; i < 20; i++) {
    pthread_t thread;
    pthread_create(&thread, nullptr, BlockWithObjects, nullptr);
    SleepMs(4);
    pthread_cancel(thread);
    pthread_join(thread, nullptr);
  }
  Say("unwound %d", unwound.load());
  return 0;
}

std::atomic<int> locals_destroyed{0};

HOST_CASE(thread_locals_are_destroyed, thread_eater, fast) {
  HostMadeThread();
  for (int i = 0; i < 30; i++) {
    std::thread([] {
      thread_local Tracer local(&locals_destroyed);
      Burn(local.counter_ != nullptr ? 1 : 0);
    }).join();
  }
  Say("destroyed %d", locals_destroyed.load());
  return 0;
}

// A compiler may leave out memory that nobody looks at.
void KeepsItsMemory(const void* memory) { asm volatile("" : : "r"(memory) : "memory"); }

HOST_CASE(out_of_memory_throws_bad_alloc, oom_killer, fast) {
  int caught = 0;
  for (int i = 0; i < 5; i++) {
    try {
      std::vector<char> huge(size_t{1} << 60);
      KeepsItsMemory(huge.data());
      Say("FAILED: got %zu", huge.size());
    } catch (const std::bad_alloc&) {
      caught++;
    } catch (const std::length_error&) {
      caught++;
    }
  }
  std::set_new_handler([] {
    Say("new handler called");
    std::set_new_handler(nullptr);
  });
  void* const none = ::operator new (size_t{1} << 60, std::nothrow);
  KeepsItsMemory(none);
  Say("nothrow: %d", none == nullptr);
  Say("caught %d", caught);
  return 0;
}

}  // namespace
