package archiver

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

const (
	simPartitions = 1
	simSteps      = 2500 // of a run, before it is left in peace
	simCalmSteps  = 20_000
)

// simWorld is a run of the simulation. One goroutine, the caller of run, decides what
// happens next: which request reaches the store, which answer comes back, who crashes,
// who sleeps. Between two decisions it waits until everybody else is blocked, so that a
// seed gives the same run each time. It must be used inside of a synctest bubble, whose
// clock it is.
type simWorld struct {
	seed   uint64
	rnd    *rand.Rand
	mutant mutation
	store  *simStore
	logs   []*simLog
	procs  []*simProcess
	quiet  bool // no more faults
	group  map[record.Partition]int64
	// claimed is how far the group's offsets go for a mutation.
	claimed   map[record.Partition]int64
	histories []*simHistory
	counts    map[string]int
	failed    error
	hash      interface {
		Write([]byte) (int, error)
		Sum64() uint64
	}
	lines []string
	tell  bool
	peace int // more of it: fewer events

	mu      sync.Mutex // guards pending, and the processes' flags
	pending []*simCall
}

func newWorld(seed uint64, m mutation, tell bool) *simWorld {
	w := &simWorld{
		seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), mutant: m, hash: fnv.New64a(), tell: tell,
		group: map[record.Partition]int64{}, claimed: map[record.Partition]int64{}, counts: map[string]int{},
	}
	w.peace = 1 + w.rnd.IntN(12)
	w.store = &simStore{w: w, objects: map[string]*simObject{}}
	for _, topic := range w.topics() {
		for p := range int32(simPartitions) {
			l := newSimLog(topic, p)
			w.logs = append(w.logs, l)
			w.histories = append(w.histories, &simHistory{log: l, sums: map[uint64]uint32{}, sound: map[string]bool{}, dropped: map[string]int64{}, strays: map[uint32]bool{}})
		}
	}
	return w
}

// topics returns their names: of "kept" everything is kept, of "short" little.
func (w *simWorld) topics() []string {
	return [][]string{{"kept", "short"}, {"kept"}, {"short"}}[w.seed%3]
}

// zombies reports whether the run has requests that come when the number of their
// manifest has been taken and collected.
func (w *simWorld) zombies() bool { return w.seed%20 == 10 || w.mutant.noConfirm }

func (w *simWorld) log(p record.Partition) *simLog {
	return w.logs[slices.IndexFunc(w.logs, func(l *simLog) bool { return l.part == p })]
}

// chance is true once in n times.
func (w *simWorld) chance(n int) bool { return w.rnd.IntN(n) == 0 }

// note adds a line to the trace.
func (w *simWorld) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	_, _ = w.hash.Write([]byte(line))
	if w.tell {
		w.lines = append(w.lines, line)
	}
}

// violation is what must never be.
func (w *simWorld) violation(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf(format, args...)
		w.note("VIOLATION: %v", w.failed)
	}
}

// run plays the script of the seed and returns what was violated.
func (w *simWorld) run() error {
	defer w.end()
	w.start()
	w.start()
	w.startReader()
	steps := simSteps
	if w.zombies() {
		steps, w.peace = 5*steps, 12
	}
	for n := 0; n < steps && w.failed == nil; n++ {
		synctest.Wait()
		w.step()
	}
	if w.failed == nil {
		w.calm()
	}
	return w.failed
}

// step is one decision.
func (w *simWorld) step() {
	ready := w.ready()
	switch n := w.rnd.IntN(100); {
	case n < 75 && len(ready) > 0:
		w.move(ready[w.rnd.IntN(len(ready))])
	case n < 87:
		w.sleep(20 * time.Millisecond)
	case n < 95:
		w.logs[w.rnd.IntN(len(w.logs))].write(w)
	case n < 96 && w.chance(3):
		w.sleep(4 * time.Second)
	case w.chance(w.peace):
		w.event()
	}
}

// sleep lets some of the bubble's time pass, by the nanosecond: where timers of several
// goroutines end in the same instant, nobody knows who comes first.
func (w *simWorld) sleep(most time.Duration) {
	d := time.Duration(1 + w.rnd.Int64N(int64(most)))
	w.note("%v pass", d)
	time.Sleep(d)
}

// event is what happens to processes and to Kafka.
func (w *simWorld) event() {
	p := w.procs[w.rnd.IntN(len(w.procs))]
	if w.waits(p) {
		return // a zombie to be
	}
	switch w.rnd.IntN(12) {
	case 0, 1:
		w.crash(p)
	case 2:
		if !p.reads && !p.over() {
			w.note("%s is stopped", p)
			p.stop()
			w.count("stops")
		}
	case 3, 4:
		w.freeze(p)
	case 5, 6, 7:
		w.thaw(p)
	case 8:
		w.retention()
	default:
		w.rebalance(p)
	}
	if w.living() < 2 || w.living() < 4 && w.chance(6) {
		w.start()
	}
}

// waits reports whether the network keeps a manifest of the process's until its number
// is collected.
func (w *simWorld) waits(p *simProcess) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.pending, func(c *simCall) bool { return c.p == p && c.free != nil && !c.left })
}

// retention lets Kafka delete what is archived, some of it.
func (w *simWorld) retention() {
	h := w.histories[w.rnd.IntN(len(w.histories))]
	if h.newest == nil {
		return
	}
	for _, b := range h.log.batches {
		if b.base > h.log.start && b.base <= h.newest.Next && w.chance(3) {
			h.log.start = b.base
			w.note("%s begins at %d", h.log.part, h.log.start)
			return
		}
	}
}

// ready returns the requests that can move, in an order that does not depend on which
// goroutine was faster.
func (w *simWorld) ready() []*simCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ready []*simCall
	for _, c := range w.pending {
		if !c.held() && !c.until.After(time.Now()) && (c.free == nil || c.free()) {
			ready = append(ready, c)
		}
	}
	slices.SortStableFunc(ready, func(a, b *simCall) int {
		return cmp.Or(cmp.Compare(a.p.id, b.p.id), strings.Compare(a.what, b.what), cmp.Compare(a.seq, b.seq))
	})
	return ready
}

// calm ends all faults, lets one process do the rest, and looks at what there is.
func (w *simWorld) calm() {
	synctest.Wait()
	w.quiet = true
	for _, p := range w.procs {
		if !p.over() {
			w.crash(p)
		}
	}
	for _, l := range w.logs {
		for producer, first := range l.open {
			l.end(producer, first, producer%2 == 0)
		}
	}
	last := w.start()
	for _, l := range w.logs {
		last.give(l.part)
	}
	for n := 0; w.failed == nil && !w.archived(); n++ {
		synctest.Wait()
		if n == simCalmSteps {
			w.violation("the archive does not reach the end of the log: %v", last.a.Ready())
			return
		}
		if ready := w.ready(); len(ready) > 0 {
			w.move(ready[0])
			continue
		}
		w.sleep(10 * time.Millisecond)
	}
	w.crash(last)
	if w.failed == nil {
		w.inspect()
	}
}

// archived reports whether the archive has all that is stable.
func (w *simWorld) archived() bool {
	for _, h := range w.histories {
		if h.log.next > 0 && (h.newest == nil || h.newest.Next < h.log.stable()) {
			return false
		}
	}
	return true
}

// end lets everybody go, whatever the state.
func (w *simWorld) end() {
	w.quiet = true
	for _, p := range w.procs {
		w.crash(p)
	}
	for _, p := range w.procs {
		<-p.ended
	}
}

func (w *simWorld) living() int {
	n := 0
	for _, p := range w.procs {
		if !p.over() && !p.reads {
			n++
		}
	}
	return n
}

func (w *simWorld) count(what string) { w.counts[what]++ }

// claim sets the group's offset as the mutation does.
func (w *simWorld) claim(p record.Partition, offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.claimed[p] = max(w.claimed[p], offset)
}

// later lets a request reach the store some time, though who sent it has its answer.
func (w *simWorld) later(p *simProcess, what string, apply func() error) {
	w.add(&simCall{p: p, kind: simPut, what: what, apply: apply, done: make(chan struct{}), left: true})
}

func (w *simWorld) add(c *simCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.p.calls++
	c.seq, c.late = c.p.calls, c.p.frozen
	w.pending = append(w.pending, c)
}

// serve answers all requests, without faults, until done is closed.
func (w *simWorld) serve(done <-chan struct{}) {
	for n := 0; ; n++ {
		synctest.Wait()
		select {
		case <-done:
			return
		default:
		}
		if ready := w.ready(); len(ready) > 0 {
			w.move(ready[0])
			continue
		}
		w.sleep(10 * time.Millisecond)
	}
}
