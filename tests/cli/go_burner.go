// SPDX-License-Identifier: Apache-2.0

// A Go server with the stock /debug/pprof that burns one core: go_burner PORT SECONDS [DELAY].
// DELAY: seconds before it listens.
package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
	"strconv"
	"time"
)

var sink int

//go:noinline
func burnInnerLoop(n int) int {
	sum := 0
	for i := 0; i < n; i++ {
		sum += i * i % 7
	}
	return sum
}

func burnForever() {
	for {
		sink += burnInnerLoop(100000)
	}
}

func main() {
	seconds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(2)
	}
	time.AfterFunc(time.Duration(seconds)*time.Second, func() { os.Exit(0) })
	go burnForever()
	if len(os.Args) > 3 {
		delay, _ := strconv.Atoi(os.Args[3])
		time.Sleep(time.Duration(delay) * time.Second)
	}
	if http.ListenAndServe("127.0.0.1:"+os.Args[1], nil) != nil {
		os.Exit(1)
	}
}
