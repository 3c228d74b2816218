package chaos

import (
	"sync"
	"testing"
	"time"
)

// stalls measures how long output rests while input is pending: of each task, and
// of all together. The longest ones count for the fault that fell into them, or
// else for the last one before. It is safe for concurrent use.
type stalls struct {
	mu     sync.Mutex
	tasks  []flow
	all    flow
	faults []mark
	byKind map[string]longest
}

// flow is what one task, or all, owe.
type flow struct {
	pending int64 // input that was acknowledged, less output that was seen
	since   time.Time
	longest time.Duration
	at      time.Time // when the longest ended
}

// mark is a fault and its time.
type mark struct {
	kind string
	at   time.Time
}

// longest are the longest stalls of a kind of fault.
type longest struct{ All, Task time.Duration }

func newStalls(tasks int) *stalls {
	return &stalls{tasks: make([]flow, tasks), byKind: map[string]longest{}}
}

// fault notes a fault.
func (s *stalls) fault(kind string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, mark{kind, at})
}

// fed notes an input record that was acknowledged.
func (s *stalls) fed(task int32, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[task].fed(now)
	s.all.fed(now)
}

func (f *flow) fed(now time.Time) {
	if f.pending++; f.pending == 1 {
		f.since = now
	}
}

// seen notes output of a task.
func (s *stalls) seen(task int32, n int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, d := s.tasks[task].seen(n, now)
	s.countLocked(from, now, longest{Task: d})
	from, d = s.all.seen(n, now)
	s.countLocked(from, now, longest{All: d})
}

func (s *stalls) countLocked(from, to time.Time, d longest) {
	kind := s.causeLocked(from, to)
	k := s.byKind[kind]
	s.byKind[kind] = longest{max(k.All, d.All), max(k.Task, d.Task)}
}

// seen returns how long output had rested, and since when.
func (f *flow) seen(n int64, now time.Time) (from time.Time, d time.Duration) {
	from = f.since
	if f.pending > 0 {
		d = now.Sub(from)
		if d > f.longest {
			f.longest, f.at = d, now
		}
	}
	f.pending -= n
	f.since = now
	return from, d
}

// causeLocked names the first fault between two moments, else the last one before.
func (s *stalls) causeLocked(from, to time.Time) string {
	kind := "none"
	for i := len(s.faults) - 1; i >= 0; i-- {
		f := s.faults[i]
		if f.at.After(to) {
			continue
		}
		if f.at.Before(from) {
			if kind == "none" {
				kind = f.kind
			}
			break
		}
		kind = f.kind
	}
	return kind
}

// pending returns how much output is owed.
func (s *stalls) pending() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.pending
}

// restart forgets the longest stalls of the tasks, and returns them.
func (s *stalls) restart(now time.Time) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]time.Duration, len(s.tasks))
	for i := range s.tasks {
		f := &s.tasks[i]
		out[i] = f.longest
		if f.pending > 0 {
			out[i] = max(out[i], now.Sub(f.since))
		}
		f.longest = 0
	}
	return out
}

// result returns the flow of all output, that of the task with the longest stall,
// which task it is, and the longest stalls by fault.
func (s *stalls) result() (all, task flow, which int, byKind map[string]longest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.tasks {
		if f.longest > task.longest {
			task, which = f, i
		}
	}
	return s.all, task, which, s.byKind
}

func TestStallsCountForTheFaultThatFellIntoThem(t *testing.T) {
	begin := time.Now()
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	s := newStalls(2)
	s.fed(0, at(0))
	s.fed(1, at(0))
	s.seen(0, 1, at(1))
	s.fault(faultKill, at(2))
	s.fault(faultBroker, at(3))
	s.seen(1, 1, at(5)) // the task has rested for 5 s, all for 4
	s.fed(0, at(20))    // nothing was pending before
	s.seen(0, 1, at(21))
	all, task, which, kinds := s.result()
	if all.longest != 4*time.Second || task.longest != 5*time.Second || which != 1 || task.at != at(5) {
		t.Errorf("longest %v, of task %d %v", all, which, task)
	}
	want := map[string]longest{
		"none":      {time.Second, time.Second},
		faultKill:   {4 * time.Second, 5 * time.Second},
		faultBroker: {time.Second, time.Second},
	}
	for k, w := range want {
		if kinds[k] != w {
			t.Errorf("%s: %v, want %v", k, kinds[k], w)
		}
	}
	if s.pending() != 0 {
		t.Errorf("%d pending", s.pending())
	}
}
