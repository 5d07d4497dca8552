# SPDX-License-Identifier: Apache-2.0
"""Waiting threads of a Go program: what their stacks show is a beginning of what is there, and nothing else."""
import glob
import re

from profile_check import fetch
from thread_check import ThreadCheck, parse

TARGET, NEEDS = "go-waits", ["go", "gcc", "curl"]
LOOKS = 20

WORK = r"""
package main

// #include <time.h>
// #cgo CFLAGS: -O0 -fno-omit-frame-pointer
// __attribute__((noinline)) static void sleepInC(void) { struct timespec t = {1000, 0}; nanosleep(&t, 0); }
// __attribute__((noinline)) static void outerSleep(void) { sleepInC(); }
import "C"
import (
	"fmt"
	"syscall"
	"time"
)

//go:noinline
func readFrom(fd int, depth int) int {
	if depth > 0 {
		return readFrom(fd, depth-1) + 1
	}
	var b [1]byte
	n, _ := syscall.Read(fd, b[:])
	return n
}

func waker() {
	for {
		time.Sleep(5 * time.Millisecond)
	}
}

func main() {
	var pipe [2]int
	syscall.Pipe(pipe[:])
	go readFrom(pipe[0], 5)
	go func() { C.outerSleep() }()
	for i := 0; i < 4; i++ {
		go waker()
	}
	fmt.Println("ready")
	time.Sleep(100 * time.Second)
}
"""
# Innermost first, and who may follow whom; what follows nobody here may be nobody's caller.
CALLERS = {
    r"runtime\.futex": r"runtime\.(futexsleep|futexwakeup)",
    r"runtime\.futexsleep": r"runtime\.(notesleep|notetsleep_internal|lock2)",
    r"runtime\.futexwakeup": r"runtime\.(notewakeup|unlock2)",
    r"runtime\.notesleep": r"runtime\.(mPark|stopm|templateThread|stoplockedm|gcstopm)",
    r"runtime\.(mPark|stopm)": r"runtime\.(stopm|findRunnable|stoplockedm)",
    r"runtime\.epollwait": r"runtime\.netpoll",
    r"runtime\.netpoll": r"runtime\.(findRunnable|sysmon)",
    r"runtime\.usleep": r"runtime\.(sysmon|osyield|runqgrab|lock2)",
    r"runtime\.findRunnable": r"runtime\.schedule",
    r"runtime\.schedule": r"runtime\.(park_m|mstart1|goexit0|exitsyscall0|goschedImpl)",
    r"runtime\.park_m": r"runtime\.mcall",
    r"runtime/internal/syscall\.Syscall6": r"(syscall|runtime/internal/syscall)\.RawSyscall6|syscall\.Syscall",
    r"syscall\.RawSyscall6": r"syscall\.Syscall",
    r"syscall\.Syscall": r"syscall\.read",
    r"syscall\.read": r"syscall\.Read|main\.readFrom",
    r"main\.readFrom": r"main\.(readFrom|main)",
    r"(__)?clock_nanosleep": r"(__)?nanosleep",
    r"(__)?nanosleep": "sleepInC",
    "sleepInC": "outerSleep",
    "outerSleep": r"_cgo_\w+_Cfunc_outerSleep",
    r"_cgo_\w+_Cfunc_outerSleep": r"runtime\.asmcgocall",
    # asmcgocall has no frame of its own, so that its caller's, cgocall's, is the one that is left.
    r"runtime\.asmcgocall": r"runtime\.cgocall|main\._Cfunc_outerSleep",
    r"runtime\.cgocall": r"main\._Cfunc_outerSleep",
    r"main\._Cfunc_outerSleep": r"main\.main\.func\d",
    r"main\.main\.func\d": r"runtime\.goexit",
}


def may_call(callee, caller):
    return any(re.fullmatch(name, callee) and re.fullmatch(callers, caller) for name, callers in CALLERS.items())


def check(threads):
    result = ThreadCheck(listed=len(threads))
    seen = set()
    for thread in threads:
        if thread.state == "running":
            continue
        frames = [re.sub(r"(\.abi0)?(\+0x[0-9a-f]+)?$", "", frame) for frame in thread.frames]
        wrong = [f"{caller} calls {callee}" for callee, caller in zip(frames, frames[1:]) if not may_call(callee, caller)]
        cut = not frames or not frames[-1].startswith(("runtime.goexit", "runtime.mcall"))
        if wrong:
            result.problems.append(f"{thread.tid}: {'; '.join(wrong)} in {' < '.join(frames)}")
        elif cut and not any("cut" in note for note in thread.notes):
            result.problems.append(f"{thread.tid}: the end of {' < '.join(frames)} is not explained: {thread.notes}")
        result.whole += not cut
        seen.update(frames)
    for wanted in ("outerSleep", "runtime.asmcgocall", "runtime.futexsleep"):
        if wanted not in seen:
            result.problems.append(f"{wanted} is in no stack: {sorted(seen)}")
    return result


def run(lab):
    cache = {"GOCACHE": lab.path("cache"), "CGO_ENABLED": "1", "GO111MODULE": "off"}
    built = lab.run(["go", "build", "-o", lab.path("go-waits"), lab.write("waits.go", WORK)], timeout=600, **cache)
    lab.note(f"built {built.returncode} {built.stderr}")
    process = lab.start([lab.path("go-waits")])
    lab.wait_for(lambda: "ready" in lab.log("go-waits"))
    sockets = []
    if lab.agent and lab.wait_for(lambda: sockets.extend(glob.glob(lab.path(f"run/*-{process.pid}-*.sock"))) or sockets, 15):
        threads = []
        for _ in range(LOOKS):
            fetch("http://localhost/debug/pprof/goroutine?debug=2", lab.path("threads.txt"), sockets[0])
            with open(lab.path("threads.txt"), encoding="utf-8") as file:
                threads += parse(file.read())
        lab.profiles.append(check(threads))
    elif lab.agent:
        lab.profiles.append("it has no agent")
    lab.end(process)
