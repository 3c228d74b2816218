package kappa

import (
	"os"
	"runtime/debug"
)

const (
	programBytes = 32 << 20 // of code and tables that are resident, about
	leastHeap    = 64 << 20
)

// bound holds garbage within the memory that the process was given, until the
// function that it returns is called. The engine bounds what it uses itself; left
// alone, the collector would let as much again lie about. GOMEMLIMIT wins.
func bound(memory int64) (release func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetMemoryLimit(heapLimit(memory))
	return func() { debug.SetMemoryLimit(before) }
}

// heapLimit is what of the memory is Go's: the cache of the store on disk, an eighth,
// lies outside the heap, and so does the program.
func heapLimit(memory int64) int64 { return max(memory/8*7-programBytes, leastHeap) }
