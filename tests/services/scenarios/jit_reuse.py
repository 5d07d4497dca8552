# SPDX-License-Identifier: Apache-2.0
"""A compiler that uses an address again: in the recording each function's time keeps its own name."""
import contextlib
import glob
import os
import time

from profile_check import check_profile, fetch, parse, raw_text

TARGET, NEEDS = "jit-reuse", ["cc", "curl", "go"]
SECONDS = 24  # so that a step of the recording, up to 11 s, lies within each function's time

WORK = r"""
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* push %rbp; mov %rsp,%rbp; mov %rdi,%rax; 1: sub $1,%rax; jnz 1b; pop %rbp; ret */
static const unsigned char kCode[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0x83,
                                      0xe8, 0x01, 0x75, 0xfa, 0x5d, 0xc3};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void name(const void *code, const char *function) {
  char path[64];
  snprintf(path, sizeof path, "/tmp/perf-%d.map", getpid());
  FILE *map = fopen(path, "a");
  fprintf(map, "%lx %zx %s\n", (unsigned long)(uintptr_t)code, sizeof kCode, function);
  fclose(map);
}

static void runFor(double seconds, void (*code)(uint64_t)) {
  for (double end = now() + seconds; now() < end;) {
    code(300000);
    usleep(900);
  }
}

int main(void) {
  unsigned char *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(page, kCode, sizeof kCode);
  name(page, "compiledFirst");
  puts("first");
  fflush(stdout);
  runFor(SECONDS, (void (*)(uint64_t))page);
  name(page, "compiledSecond");
  puts("second");
  fflush(stdout);
  runFor(SECONDS, (void (*)(uint64_t))page);
  puts("both");
  fflush(stdout);
  runFor(30, (void (*)(uint64_t))page);
  return 0;
}
"""


def names_at(lab, socket, when):
    """The compiled functions in the steps that hold that time."""
    fetch(f"http://localhost/debug/pprof/profile?from={when:.3f}&to={when + 0.1:.3f}", lab.path("at.pb.gz"), socket)
    return {name for _, stack in parse(raw_text(lab.path("at.pb.gz"))) for name in stack if name.startswith("compiled")}


def run(lab):
    built = lab.run(["cc", "-O2", f"-DSECONDS={SECONDS}", "-o", lab.path(TARGET), lab.write("reuse.c", WORK)])
    lab.note(f"built {built.returncode} {built.stderr}")
    process = lab.start([lab.path(TARGET)])
    began = time.time()
    lab.note(f"ran one: {lab.wait_for(lambda: 'second' in lab.log(TARGET), 2 * SECONDS)}")
    changed = time.time()
    lab.note(f"ran both: {lab.wait_for(lambda: 'both' in lab.log(TARGET), 2 * SECONDS)}")
    sockets = glob.glob(lab.path(f"run/*-{process.pid}-*.sock")) if lab.agent else []
    if sockets:
        # Who ran in the step in which the address changed hands is not known.
        expected = {"compiledFirst": 0.15, "compiledSecond": 0.1}
        lab.profiles.append(check_profile("http://localhost/debug/pprof/profile?last=5m", lab.path("past.pb.gz"),
                                          functions=expected, socket=sockets[0]))
        for when, right in ((began + 5, "compiledFirst"), (changed + 11.5, "compiledSecond")):
            found = names_at(lab, sockets[0], when)
            if found != {right}:
                lab.profiles.append(f"{right} is told as {found or 'nothing'}")
    elif lab.agent:
        lab.profiles.append("it has no agent")
    process.kill()
    process.wait()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"/tmp/perf-{process.pid}.map")
