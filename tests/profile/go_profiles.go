// SPDX-License-Identifier: Apache-2.0

// Writes a CPU, a heap and a goroutine profile of itself, as Go's runtime makes them, into a directory.
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"
)

var sink [][]byte

func burn(until time.Time) (n int) {
	for time.Now().Before(until) {
		for i := 0; i < 1000; i++ {
			n += i * i
		}
	}
	return n
}

func create(name string) *os.File {
	file, err := os.Create(filepath.Join(os.Args[1], name))
	if err != nil {
		panic(err)
	}
	return file
}

func main() {
	runtime.MemProfileRate = 1024
	cpu := create("cpu.pb.gz")
	pprof.StartCPUProfile(cpu)
	burn(time.Now().Add(300 * time.Millisecond))
	pprof.StopCPUProfile()
	cpu.Close()
	for i := 0; i < 1000; i++ {
		sink = append(sink, make([]byte, 4096))
	}
	runtime.GC()
	for _, name := range []string{"heap", "goroutine"} {
		file := create(name + ".pb.gz")
		pprof.Lookup(name).WriteTo(file, 0)
		file.Close()
	}
}
