package chaos

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// ledger knows what of a task's changelog each instance must have on its disk, and
// so how much a restore may replay there: what was written since. It is safe for
// concurrent use.
//
// After each commit of a task a flush begins where the last one is older than the
// flush interval. So when a commit has been seen, what was committed before it by
// more than that interval is on disk as soon as a flush has had time to end.
type ledger struct {
	age time.Duration // the flush interval, and some more

	mu     sync.Mutex // guards what follows
	ends   []ends
	stores map[string]map[int32]*copyOf // by instance and task
	report replays
}

// ends are the changelogs' ends at a time, a task's table and state together.
type ends struct {
	at   time.Time
	from []int64 // where the logs begin
	ends []int64
}

// copyOf is an instance's copy of a task.
type copyOf struct {
	commit time.Time // a commit came after it, and the flush that it began may still run
	safe   time.Time // what was committed before is on disk, zero where nothing is
}

// replays say what restores have cost.
type replays struct {
	Restores int64 // of tasks
	Judged   int64 // those of them for which a copy was on disk
	Replayed int64 // records, by those judged
	Tail     int64 // records that these might replay
	Full     int64 // records that they would replay without a copy
	Bad      []string
}

func newLedger(age time.Duration) *ledger {
	return &ledger{age: age, stores: map[string]map[int32]*copyOf{}}
}

// logs notes the changelogs' ends.
func (l *ledger) logs(e ends) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, e)
}

// look notes what an instance has shown, after what it had shown before in the same
// life of its process.
func (l *ledger) look(who string, before, now figures) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stores := l.stores[who]
	if stores == nil {
		stores = map[int32]*copyOf{}
		l.stores[who] = stores
	}
	if now.restores > before.restores {
		l.judgeLocked(who, stores, before, now)
	}
	for task, c := range stores {
		if !now.held[task] {
			c.commit = time.Time{}
		}
	}
	for task, count := range now.counts {
		c := stores[task]
		if c == nil {
			c = new(copyOf)
			stores[task] = c
		}
		if !c.commit.IsZero() && now.at.Sub(c.commit) >= flushing {
			c.safe, c.commit = c.commit.Add(-l.age), time.Time{}
		}
		if was, ok := before.counts[task]; ok && was < count && c.commit.IsZero() {
			c.commit = before.at
		}
	}
}

// flushing is how long a flush may take.
const flushing = 3 * time.Second

// judgeLocked compares what restores have replayed with what they may. Which tasks
// were restored is not known, so the dearest of those held are taken.
func (l *ledger) judgeLocked(who string, stores map[int32]*copyOf, before, now figures) {
	type cost struct {
		tail, full int64
		copied     bool
	}
	var costs []cost
	for task := range now.held {
		tail, full, copied := l.costLocked(stores[task], task)
		costs = append(costs, cost{tail, full, copied})
	}
	n, replayed := now.restores-before.restores, now.replayed-before.replayed
	l.report.Restores += n
	if len(costs) == 0 {
		return // it has lost them again
	}
	slices.SortFunc(costs, func(a, b cost) int { return int(b.tail - a.tail) })
	var tail, full int64
	for i := range n {
		c := costs[int(i)%len(costs)]
		if !c.copied {
			return
		}
		tail, full = tail+c.tail, full+c.full
	}
	l.report.Judged += n
	l.report.Replayed += replayed
	l.report.Tail += tail
	l.report.Full += full
	if replayed > tail {
		l.report.Bad = append(l.report.Bad, fmt.Sprintf("%s replayed %d records for %d tasks: since its copies %d were written, %d in all", who, replayed, n, tail, full))
	}
}

func (l *ledger) costLocked(c *copyOf, task int32) (tail, full int64, copied bool) {
	if len(l.ends) == 0 {
		return 0, 0, false
	}
	last := l.ends[len(l.ends)-1]
	full = last.ends[task] - last.from[task]
	if c == nil || c.safe.IsZero() {
		return full, full, false
	}
	base := l.ends[0].from[task]
	for i := len(l.ends) - 1; i >= 0; i-- {
		if !l.ends[i].at.After(c.safe) {
			base = l.ends[i].ends[task]
			break
		}
	}
	return last.ends[task] - base, full, true
}

func (l *ledger) result() replays {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

func TestTheLedgerTellsATailFromAFullRestore(t *testing.T) {
	begin := time.Now()
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	for name, c := range map[string]struct {
		replayed int64
		bad      int
	}{"tail": {600, 0}, "full": {2000, 1}} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(2 * time.Second)
			var before figures
			for s := range 20 {
				l.logs(ends{at: at(s), from: []int64{0}, ends: []int64{int64(100 * s)}})
				now := figures{at: at(s), held: map[int32]bool{0: true}, counts: map[int32]int64{0: int64(s)}, restores: 1}
				l.look("a", before, now)
				before = now
			}
			// A commit was seen after 16, so what was committed until 14 is on disk.
			l.logs(ends{at: at(20), from: []int64{0}, ends: []int64{2000}})
			l.look("a", figures{}, figures{at: at(20), held: map[int32]bool{0: false}})
			l.look("a", figures{at: at(20)}, figures{at: at(21), held: map[int32]bool{0: true}, restores: 1, replayed: c.replayed})
			r := l.result()
			if r.Restores != 2 || r.Judged != 1 || r.Tail != 600 || r.Full != 2000 || len(r.Bad) != c.bad {
				t.Errorf("%+v", r)
			}
		})
	}
}
