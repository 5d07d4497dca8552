// SPDX-License-Identifier: Apache-2.0
// ptrace(PTRACE_TRACEME): from then on a signal stops the thread until its tracer lets it go on.
// Who asks for it to learn whether it is debugged has no tracer that would: a shell shows it as
// stopped.
#include "agent/hooks/tracing.h"

#include <sys/ptrace.h>

#include "agent/hooks/hook.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/sys.h"

namespace sonde::hooks {

// Not in a vfork child, whose tid must not stay in its parent's list.
void BeforeBeingTraced() {
  if (life::MayEverCollect() && life::OwnsState()) {
    ForbidTimer(sys::Gettid(), ForbidReason::kTraced);
  }
}

}  // namespace sonde::hooks

namespace {

// As it is called: a function with optional arguments cannot hand them on, but all four are in
// registers.
using Ptrace = long(long, long, void*, void*);

}  // namespace

SONDE_EXPORT long SondePtrace(long request, long pid, void* address, void* data) noexcept
    __asm__("ptrace");
long SondePtrace(long request, long pid, void* address, void* data) noexcept {
  static constexpr sonde::hooks::Real<Ptrace> real(sonde::hooks::kHook_ptrace);
  if (static_cast<int>(request) == PTRACE_TRACEME) sonde::hooks::BeforeBeingTraced();
  return real.get()(request, pid, address, data);
}
