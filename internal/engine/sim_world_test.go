package engine

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// world is one run of the simulation: a broker, some processes and an environment
// that is hostile for a while and kind at the end. One seed decides everything;
// nothing runs but what the world picks, one step at a time.
type world struct {
	seed   uint64
	rng    *rand.Rand
	now    time.Time
	steps  int
	broker *simBroker
	procs  []*simProcess
	born   int // processes so far
	input  *simInput
	faults simFaults
	chaos  bool
	visits []*simVisit
	over   bool // nobody comes back any more
	mutant mutation
	cur    *coro // whose turn it is, nil outside of coroutines

	ready  []choice
	weight int
	next   time.Time // when something is due that is not ready now
	err    error     // the first violation

	counts map[string]int // what has happened, for the report

	hash  hash.Hash64
	lines []string // nil unless the run is told
	tell  bool
}

// actor is somebody who can take a step.
type actor interface{ act(*world) }

type choice struct {
	actor  actor
	weight int
}

// simEpoch is when every run begins.
const simEpoch = 1_700_000_000_000

func newWorld(seed uint64, m mutation, tell bool) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x6b61707061)), now: time.UnixMilli(simEpoch),
		chaos: true, mutant: m, hash: fnv.New64a(), tell: tell, counts: map[string]int{},
	}
	w.faults = drawFaults(w.rng)
	m.provoke(&w.faults)
	w.broker = newBroker(w)
	w.input = newInput(w)
	for range w.faults.processes {
		w.start(w.instance(), newDisk())
	}
	return w
}

// chance is true once in n times, never for n = 0.
func (w *world) chance(n int) bool { return n > 0 && w.rng.IntN(n) == 0 }

// between returns a duration of [from, to).
func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rng.Int64N(int64(to-from)))
}

// say adds a line to the trace.
func (w *world) say(format string, args ...any) {
	if !w.tell {
		return
	}
	line := fmt.Sprintf("%5d %8.3fs ", w.steps, float64(w.now.UnixMicro()-simEpoch*1000)/1e6) + fmt.Sprintf(format, args...)
	w.hash.Write([]byte(line))
	w.lines = append(w.lines, line)
}

func (w *world) count(what string) { w.counts[what]++ }

// violate notes what must never happen. The first one counts.
func (w *world) violate(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
		w.say("VIOLATED: %v", w.err)
	}
}

// offer says that an actor is ready.
func (w *world) offer(a actor, weight int) {
	w.ready = append(w.ready, choice{a, weight})
	w.weight += weight
}

// due says that an actor is ready at a time, or now where that has passed.
func (w *world) due(a actor, weight int, at time.Time) {
	if !at.After(w.now) {
		w.offer(a, weight)
	} else if w.next.IsZero() || at.Before(w.next) {
		w.next = at
	}
}

// step lets somebody act. It returns false where nobody ever would again.
func (w *world) step() bool {
	w.steps++
	w.broker.expire()
	if w.chaos {
		w.strike()
	}
	w.ready, w.weight, w.next = w.ready[:0], 0, time.Time{}
	w.broker.offer()
	w.input.offer(w)
	for _, p := range w.procs {
		p.offer(w)
	}
	if w.weight == 0 {
		if w.next.IsZero() {
			return false
		}
		w.now = w.next
		return true
	}
	n := w.rng.IntN(w.weight)
	for _, c := range w.ready {
		if n -= c.weight; n < 0 {
			c.actor.act(w)
			break
		}
	}
	w.now = w.now.Add(time.Duration(w.rng.Int64N(int64(w.faults.pace))))
	return true
}

// run is a whole run. Its error is the first violation.
func (w *world) run() error {
	defer w.end()
	for w.err == nil && w.steps < w.faults.chaosSteps {
		w.step()
	}
	w.calm()
	limit := w.steps + settleSteps
	for w.err == nil && !w.settled() {
		if !w.step() || w.steps > limit {
			w.violate("it does not settle: %s", w.unsettled())
		}
	}
	if w.err == nil {
		w.checkEnd()
		w.finish()
	}
	return w.err
}

// finish stops all processes in order; each has to end, and to leave its stores as
// they should be.
func (w *world) finish() {
	w.over = true
	for _, p := range w.procs {
		p.drain(w.chance(2))
		p.patience = w.now.Add(time.Hour)
	}
	w.checkVisits()
	limit := w.steps + settleSteps
	for w.err == nil && slices.ContainsFunc(w.procs, func(p *simProcess) bool { return p.alive }) {
		if !w.step() || w.steps > limit {
			w.violate("it does not stop")
		}
	}
	if w.err == nil {
		w.checkStopped()
	}
}

// settleSteps is how long a run may take to settle once nothing fails any more.
const settleSteps = 60_000

// end lets nothing live on.
func (w *world) end() {
	for _, p := range w.procs {
		p.stopCoros()
	}
}
