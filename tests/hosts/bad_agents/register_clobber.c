// SPDX-License-Identifier: Apache-2.0
// Sin: changes the floating-point state of the interrupted code.
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

static void Handle(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)info;
  ((ucontext_t*)context)->uc_mcontext.fpregs->mxcsr |= 0x6000;  // round toward zero
}

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = Handle;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGPROF, &action, NULL);
  const struct itimerval every = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_PROF, &every, NULL);
}
