package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestChaos feeds a group while its processes and the brokers are killed, frozen,
// added and taken away, and demands the exact table and output. Without a duration
// it plays the short form: ten kills, and each other kind of trouble once.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes on a real Kafka: not with -short")
	}
	p := plan{seed: *flagSeed, every: *flagKills, duration: *flagDuration, nodes: *flagNodes, deck: longDeck}
	if p.duration == 0 {
		p.deck = shortDeck
	}
	if p.every == 0 {
		p.every = 4 * time.Second
		if p.duration == 0 {
			p.every = 2 * time.Second
		}
	}
	faults := script(p)
	for _, a := range faults {
		t.Log(a)
	}
	r := newRig(t, options{
		seed: *flagSeed, nodes: *flagNodes, keys: *flagKeys, rate: *flagRate, tasks: 12, outs: 4, commit: 400 * time.Millisecond,
	})
	r.chaos(p, faults)
}

func (r *rig) chaos(p plan, faults []action) {
	r.t.Helper()
	s := &stage{rig: r, faults: map[string]int{}, quit: make(chan struct{})}
	for id := range firstInstances {
		r.launch(id)
	}
	r.watch(200*time.Millisecond, r.lookAtInstances)
	r.watched.Go(func() { r.every(time.Second, s.revive) })
	r.must(r.until("the group to run", func() bool { return r.running() == int(r.o.tasks) }))
	begun := time.Now()
	r.feeder.start(r.ctx, r.o.rate)
	s.play(faults)
	if p.duration > 0 && !s.broken() {
		s.rest(time.Until(begun.Add(p.duration)))
	}
	took := time.Since(begun)
	if r.o.nodes > 1 {
		r.problem(r.inSync())
	}
	records, markers := r.finish()
	r.cancel()
	r.watched.Wait()
	rep := s.report(took, records, markers)
	if p.duration == 0 && (rep.Faults[faultKill] < 10 || rep.Inside == 0) {
		rep.Failed = append(rep.Failed, fmt.Sprintf("%d kills, %d of them in a transaction: this has tested nothing", rep.Faults[faultKill], rep.Inside))
	}
	r.t.Logf("\n%s", rep)
	if *flagReport != "" {
		r.must(rep.keep(*flagReport))
	}
	for _, f := range rep.Failed {
		r.t.Error(f)
	}
	if len(rep.Failed) > 0 {
		r.t.Logf("again: make chaos DURATION=%v NODES=%d SEED=%d KILLS=%v RATE=%d KEYS=%d", p.duration, r.o.nodes, p.seed, p.every, r.o.rate, r.o.keys)
	}
}

// running are the tasks that run somewhere.
func (r *rig) running() (n int) {
	for _, i := range r.all() {
		i.mu.Lock()
		n += i.last.runs()
		i.mu.Unlock()
	}
	return n
}

// flatFrom is how long a run must be for what processes use to be judged.
const flatFrom = 5 * time.Minute

func (s *stage) report(took time.Duration, records int64, markers int) *report {
	rep := &report{
		Seed: s.o.seed, Nodes: s.o.nodes, Keys: s.o.keys, Seconds: took.Seconds(), Records: records, Faults: s.faults, Inside: s.inside,
		ByFault: map[string]stallReport{}, Usage: s.usage.trends(), Markers: markers,
	}
	var sum figures
	for _, i := range s.all() {
		of := i.total()
		sum = sum.plus(&of)
		rep.Rebalances = max(rep.Rebalances, i.newest())
		rep.Failed = append(rep.Failed, i.deaths...)
	}
	rep.Commits, rep.Committed, rep.Aborts, rep.Rebuilds = sum.commits, sum.records, sum.aborts, sum.rebuilds
	rep.Restores, rep.Replayed, rep.Wipes = sum.restores, sum.replayed, sum.wipes
	copies := s.ledger.result()
	rep.Copied = copied{copies.Judged, copies.Replayed, copies.Full}
	all, task, which, kinds := s.stalls.result()
	rep.Stalls = stallReport{all.longest.Seconds(), task.longest.Seconds()}
	rep.Stalled = fmt.Sprintf("all until %s, task %d until %s", clock(all.at), which, clock(task.at))
	for kind, l := range kinds {
		rep.ByFault[kind] = stallReport{l.All.Seconds(), l.Task.Seconds()}
	}
	rep.Failed = append(rep.Failed, s.problems...)
	rep.Failed = append(rep.Failed, copies.Bad...)
	if rep.Wipes > 0 {
		rep.Failed = append(rep.Failed, fmt.Sprintf("%d stores were wiped: nothing that happened is a reason for it", rep.Wipes))
	}
	if took >= flatFrom {
		rep.Failed = append(rep.Failed, rep.Usage.notFlat(s.live())...)
	}
	return rep
}

// clock writes a time as the processes' logs do.
func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) }

// live is the size of all keys and values, in bytes.
func (s *stage) live() float64 {
	var n int
	for k := range s.verifier.table() {
		n += len(k) + 16
	}
	return float64(n)
}

func TestAnInstanceThatEndsByItselfIsAFailure(t *testing.T) {
	i := newInstance(t, childRun{}, t.TempDir(), t.TempDir(), 0) // it is told of no broker
	if err := i.start(); err != nil {
		t.Fatal(err)
	}
	p := i.current()
	i.ended(p)
	if !i.diedByItself() || len(i.deaths) != 1 || !strings.Contains(i.deaths[0], "brokers") {
		t.Errorf("deaths: %q", i.deaths)
	}
}
