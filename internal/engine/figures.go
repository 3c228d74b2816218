package engine

import (
	"maps"
	"time"
)

// figures are a worker's counters.
type figures struct {
	commits, records, changes, emits, muted, rebuilds int64
	aborts                                            map[AbortCause]int64
	latency                                           LatencyHistogram
}

func newFigures() figures {
	f := figures{aborts: map[AbortCause]int64{}}
	for _, c := range AbortCauses() {
		f.aborts[c] = 0
	}
	return f
}

func (f *figures) committed(t *transaction, now time.Time) {
	f.commits++
	f.records += t.records
	f.changes += t.changes
	f.emits += t.emits
	f.muted += t.muted
	f.latency.Observe(now.Sub(t.sealed))
}

func (f *figures) aborted(cause AbortCause) { f.aborts[cause]++ }

func (f *figures) clone() figures {
	c := *f
	c.aborts = maps.Clone(f.aborts)
	return c
}
