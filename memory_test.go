package kappa

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestGarbageIsBoundWhileTheProcessRuns(t *testing.T) {
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	before := limit()
	t.Setenv("GOMEMLIMIT", "")
	release := bound(512 << 20)
	if got := limit(); got != 416<<20 {
		t.Errorf("limit %d MiB, want 416", got>>20)
	}
	release()
	if limit() != before {
		t.Error("the limit stays")
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	release = bound(512 << 20)
	if limit() != before {
		t.Error("the user's limit was overridden")
	}
	release()
	if got := heapLimit(1 << 20); got != leastHeap {
		t.Errorf("a small process gets %d MiB of heap", got>>20)
	}
	if heapLimit(math.MaxInt64) < 1<<60 {
		t.Error("overflow")
	}
}
