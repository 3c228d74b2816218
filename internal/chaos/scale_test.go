package chaos

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestScaleOut grows a group under load from one process to three and shrinks it to
// two. The output is exact, and tasks that do not move do not notice: they are held
// by their process all the time, and never restored again.
func TestScaleOut(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes on a real Kafka: not with -short")
	}
	r := newRig(t, options{seed: *flagSeed, nodes: 1, keys: 5000, rate: 2000, tasks: 12, outs: 12, commit: 100 * time.Millisecond})
	m := &movements{rig: r}
	r.launch(0)
	r.watch(25*time.Millisecond, m.look)
	r.must(m.spread(0))
	r.feeder.start(r.ctx, r.o.rate)
	r.must(m.flow())

	m.begin()
	r.launch(1)
	r.launch(2)
	r.must(m.spread(0, 1, 2))
	r.must(m.flow())
	m.judge("1 → 3")

	m.begin()
	i := r.instance(2)
	r.must(i.end(leave))
	r.must(m.spread(0, 1))
	r.must(m.flow())
	m.judge("3 → 2")

	records, markers := r.finish()
	t.Logf("%d records exact, %d markers read", records, markers)
	for _, p := range append(r.problems, r.instance(0).deaths...) {
		t.Error(p)
	}
}

// movements watch which instance runs which task.
type movements struct {
	*rig

	mu       sync.Mutex // guards what follows
	at       map[int32]string
	began    map[int32]string          // where they were when the phase began
	absent   map[int32]bool            // not running at home, though home answered
	homes    map[int32]map[string]bool // who ran it in this phase
	restores map[string]int64          // of each instance, when the phase began
}

// look reads where the tasks are.
func (m *movements) look() {
	at := map[int32]string{}
	for _, i := range m.all() {
		before, now, ok := i.look()
		if !ok {
			continue
		}
		m.lookedAt(i, before, now)
		for task, running := range now.held {
			if running {
				at[task] = i.name
			}
		}
		m.miss(i.name, now)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for task, who := range at {
		if m.homes[task] != nil {
			m.homes[task][who] = true
		}
	}
	m.at = at
}

// miss notes tasks that an instance has had, and does not run now.
func (m *movements) miss(who string, now figures) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for task, home := range m.began {
		if home == who && !now.held[task] {
			m.absent[task] = true
		}
	}
}

// spread waits until the instances run all tasks, and each as many as another or
// one more.
func (m *movements) spread(ids ...int) error {
	return m.until(fmt.Sprintf("the tasks to be spread over %v", ids), func() bool {
		counts := map[string]int{}
		m.mu.Lock()
		for _, who := range m.at {
			counts[who]++
		}
		all := len(m.at)
		m.mu.Unlock()
		total, least, most := 0, all, 0
		for _, id := range ids {
			n := counts[m.instance(id).name]
			total, least, most = total+n, min(least, n), max(most, n)
		}
		return total == int(m.o.tasks) && most-least <= 1
	})
}

// flow waits until all tasks have announced what was pending, and more.
func (m *movements) flow() error {
	seen := func() []int64 {
		m.verifier.mu.Lock()
		defer m.verifier.mu.Unlock()
		return slices.Clone(m.verifier.seen)
	}
	before := seen()
	return m.until("output of each task", func() bool {
		for p, n := range seen() {
			if n < before[p]+300 {
				return false
			}
		}
		return true
	})
}

// begin begins a phase.
func (m *movements) begin() {
	m.stalls.restart(time.Now())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began = maps.Clone(m.at)
	m.absent = map[int32]bool{}
	m.homes, m.restores = map[int32]map[string]bool{}, map[string]int64{}
	for task, who := range m.at {
		m.homes[task] = map[string]bool{who: true}
	}
	for _, i := range m.all() {
		m.restores[i.name] = i.total().restores
	}
}

// judge ends a phase: it reports the pauses of the tasks that have moved and of the
// others, which must have stayed where they were without a break.
func (m *movements) judge(phase string) {
	m.t.Helper()
	pauses := m.stalls.restart(time.Now())
	m.mu.Lock()
	defer m.mu.Unlock()
	var moved, unmoved time.Duration
	gained := map[string]int64{}
	n := 0
	for task, home := range m.began {
		if m.at[task] != home {
			n++
			moved = max(moved, pauses[task])
			gained[m.at[task]]++
			continue
		}
		unmoved = max(unmoved, pauses[task])
		if len(m.homes[task]) != 1 || m.absent[task] {
			m.t.Errorf("%s: task %d was taken from %s for a while; it ran on %v", phase, task, home, slices.Sorted(maps.Keys(m.homes[task])))
		}
	}
	for _, i := range m.all() {
		if got := i.total().restores - m.restores[i.name]; got != gained[i.name] {
			m.t.Errorf("%s: %s has restored %d tasks and gained %d: a task that stayed lost its state, or one was moved in vain", phase, i.name, got, gained[i.name])
		}
	}
	m.t.Logf("%s: %d of %d tasks moved; longest pause of their output %v, of the others' %v", phase, n, m.o.tasks, moved.Round(time.Millisecond), unmoved.Round(time.Millisecond))
}
