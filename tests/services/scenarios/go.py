# SPDX-License-Identifier: Apache-2.0
"""A Go program with C in it: goroutines that call C, C that calls Go, a thread that C made; its signals stay its own."""
TARGET, NEEDS = "work-go", ["go", "gcc"]

WORK = r"""
package main

// #include <pthread.h>
// #include <signal.h>
// #include <stdint.h>
// #include <time.h>
// #cgo CFLAGS: -O2 -fomit-frame-pointer
// static volatile uint64_t sink;
// static double cpuNow(void) {
//   struct timespec t;
//   clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
//   return t.tv_sec + t.tv_nsec / 1e9;
// }
// __attribute__((noinline)) static uint64_t burnInC(uint64_t n) {
//   uint64_t s = n;
//   for (uint64_t i = 0; i < n; i++) s = s * 31 + (i ^ (s >> 3));
//   return s;
// }
// __attribute__((noinline)) static void calledFromGo(uint64_t n) { sink = burnInC(n) + 1; }
// static void *burnOnThreadOfC(void *unused) {
//   double end = cpuNow() + 2;
//   while (cpuNow() < end) sink = burnInC(100000) + 2;
//   return unused;
// }
// static void startThreadOfC(void) { pthread_t thread; pthread_create(&thread, 0, burnOnThreadOfC, 0); }
// extern uint64_t burnCalledBack(uint64_t);
// __attribute__((noinline)) static void callBack(uint64_t n) { sink = burnCalledBack(n) + 3; }
// static volatile int handled;
// static void onSignal(int sig) { handled += sig; }
// static int sumOfOwnSignals(void) {
//   struct sigaction action = {0};
//   action.sa_handler = onSignal;
//   action.sa_flags = SA_ONSTACK;
//   sigaction(SIGRTMIN, &action, 0);
//   for (int i = 0; i < 3; i++) raise(SIGRTMIN);
//   return handled;
// }
import "C"
import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

//go:noinline
func burnInGo(n uint64) uint64 {
	s := n
	for i := uint64(0); i < n; i++ {
		s = s*31 + (i ^ (s >> 3))
	}
	return s
}

//export burnCalledBack
func burnCalledBack(n C.uint64_t) C.uint64_t { return C.uint64_t(burnInGo(uint64(n))) }

//go:noinline
func collectGarbage() int {
	kept := map[string][]byte{}
	for i := 0; i < 100; i++ {
		kept[strings.Repeat("k", i)] = make([]byte, 2048)
	}
	return len(kept)
}

func worker(end time.Time, out chan bool) {
	for time.Now().Before(end) {
		burnInGo(100000)
		C.calledFromGo(100000)
		C.callBack(100000)
		collectGarbage()
	}
	out <- true
}

func recovered() (what interface{}) {
	defer func() { what = recover() }()
	var nothing []int
	return nothing[len(os.Args)]
}

func main() {
	signals := make(chan os.Signal, 100)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.Signal(62))
	C.startThreadOfC()
	out := make(chan bool)
	for i := 0; i < 3; i++ {
		go worker(time.Now().Add(10*time.Second), out)
	}
	fmt.Println("ready")
	fmt.Println(<-out && <-out && <-out, recovered())
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, 62} {
		syscall.Kill(os.Getpid(), sig)
		fmt.Println(<-signals)
	}
	fmt.Println(len(signals), "more signals")
	text, err := exec.Command("/bin/sh", "-c", "echo child; kill -34 $$").CombinedOutput()
	fmt.Println(string(text), err)
	fmt.Println(C.sumOfOwnSignals())
	os.Exit(5)
}
"""


def run(lab):
    cache = {"GOCACHE": lab.path("cache"), "CGO_ENABLED": "1", "GO111MODULE": "off"}
    built = lab.run(["go", "build", "-o", lab.path("work-go"), lab.write("work.go", WORK)], timeout=600, **cache)
    lab.note(f"built {built.returncode} {built.stderr}")
    process = lab.start([lab.path("work-go")])
    lab.wait_for(lambda: "ready" in lab.log("work-go"))
    lab.profile_process(process.pid, roots=r"runtime\.(goexit|mstart|mcall)",
                        functions={"burnInC": 0.1, "burnInGo": 0.1, r"main\.worker": 0.4})
    lab.note(f"ended with {process.wait(60)}")
    lab.note(lab.log("work-go"))
