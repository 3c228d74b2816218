package engine

import (
	"sync/atomic"

	"github.com/seed-73111be4/kappa/record"
)

// whereabouts lets the watchdog see from outside which record's callback a worker
// runs. Only the index is written per record: a pointer would cost a write
// barrier each.
type whereabouts struct {
	slices  atomic.Int64 // that were begun
	records atomic.Pointer[[]record.Record]
	index   atomic.Uint32
}

func (a *whereabouts) enter(records []record.Record) {
	a.slices.Add(1)
	a.index.Store(0)
	a.records.Store(&records)
}

func (a *whereabouts) step(i int) { a.index.Store(uint32(i)) }

func (a *whereabouts) leave() { a.records.Store(nil) }

// place returns a number that changes whenever the worker gets on, and the record
// whose callback runs, nil where none does. The record may be read only once the
// number has stood still for long.
func (a *whereabouts) place() (int64, *record.Record) {
	n, i, records := a.slices.Load(), a.index.Load(), a.records.Load()
	if records == nil || int(i) >= len(*records) {
		return n<<8 | int64(i), nil
	}
	return n<<8 | int64(i), &(*records)[i]
}
