package engine

import (
	"math/rand/v2"
	"time"
)

// simFaults is how hostile a run is. Each seed draws its own, so that some runs see
// much of one kind and nothing of another.
type simFaults struct {
	processes, workers int
	records            int
	chaosSteps         int
	pace               time.Duration // a step takes less than this
	bounded            bool          // the inputs end once all has been written
	transactions2      bool          // transaction.version 2: every end bumps the epoch

	strike    int // a blow once in so many steps
	lost      int // answers lost, once in so many requests
	dropped   int // requests lost
	late      int // requests that arrive after their sender has given up
	refused   int // requests that are refused
	again     int // answers lost, of requests that the client sends again
	clean     int // a log is compacted once in so many steps
	lag       int // appends that are replicated later
	unread    int // reads of a restore that fail
	diskError int
	markers   int // weight of writing a marker: low is late
	requests  int // weight of a request's step
	stores    int // weight of background work on disks
	restores  int // weight of a restore's step
	blows     [blowKinds]int

	commitInterval, flushAge time.Duration
	txnTimeout               time.Duration
	retention                time.Duration // of deletions in compacted logs
	flushBytes               int64
}

// The times of the simulated group. They are short: a step takes about a
// millisecond.
const (
	simSessionTimeout   = 300 * time.Millisecond
	simRebalanceTimeout = 700 * time.Millisecond
	simHeartbeat        = 40 * time.Millisecond
)

func drawFaults(rng *rand.Rand) simFaults {
	seldom := func(n int) int { // often never
		if rng.IntN(3) == 0 {
			return 0
		}
		return n + rng.IntN(4*n)
	}
	weight := func() int { return []int{1, 3, 10, 30}[rng.IntN(4)] }
	f := simFaults{
		processes: 2 + rng.IntN(2), workers: 2 + rng.IntN(2),
		records: 40 + rng.IntN(120), chaosSteps: 600 + rng.IntN(2200),
		pace:          time.Duration(1+rng.IntN(3)) * time.Millisecond,
		transactions2: rng.IntN(3) > 0,
		strike:        60 + rng.IntN(300),
		lost:          seldom(15), dropped: seldom(20), late: seldom(15), refused: seldom(20),
		lag: seldom(3), diskError: seldom(60), unread: seldom(15),
		markers: weight(), requests: weight() + 2, stores: weight(), restores: weight(),
		commitInterval: time.Duration(5+rng.IntN(60)) * time.Millisecond,
		flushAge:       time.Duration(20+rng.IntN(300)) * time.Millisecond,
		txnTimeout:     []time.Duration{200, 500, 900}[rng.IntN(3)] * time.Millisecond,
		flushBytes:     []int64{300, 2000, 1 << 20}[rng.IntN(3)],
	}
	for i := range f.blows {
		f.blows[i] = rng.IntN(4)
	}
	f.blows[blowCrash]++
	f.again = seldom(15)
	f.clean, f.retention = seldom(100), 24*time.Hour
	if rng.IntN(3) == 0 { // deletions vanish soon; clocks have to be right then
		f.retention, f.blows[blowSkew], f.clean = 8*time.Second, 0, 20
		f.blows[blowLeap] += 3
	}
	if f.bounded = rng.IntN(3) == 0; f.bounded && rng.IntN(2) == 0 {
		f.records = rng.IntN(12) // some tasks have nothing to do, and have to say so
	}
	return f
}

// blow is something that the environment does to the processes.
type blow int

const (
	blowCrash      blow = iota // a process is gone, and comes back after a while
	blowFreeze                 // a process stands still, perhaps until it is a zombie
	blowStall                  // one worker stands still: its callback takes its time
	blowDrain                  // a process stops in order and comes back
	blowLeave                  // the same, and its tasks are given away at once
	blowTwin                   // a process stands still and another starts under its name
	blowAdd                    // one more process
	blowLeap                   // time passes and nobody acts
	blowSkew                   // a process's clock is set
	blowVisit                  // a visitor is sent over a process's keys
	blowLaggard                // a member comes late to the next rebalance
	blowDisconnect             // a member's next heartbeats do not arrive
	blowKinds
)

func (b blow) String() string {
	return [...]string{"crashes", "freezes", "stalls", "drains", "leaves", "twins", "added", "leaps", "clocks set", "visits", "laggards", "disconnects"}[b]
}

// strike deals a blow now and then, and cleans.
func (w *world) strike() {
	if w.chance(w.faults.clean) {
		topic := []string{simPlan.Table.Topic, simPlan.StateTopic}[w.rng.IntN(2)]
		w.broker.log(topic, w.rng.Int32N(simTasks)).compact(w.faults.retention)
	}
	if !w.chance(w.faults.strike) {
		return
	}
	total := 0
	for _, n := range w.faults.blows {
		total += n
	}
	n, kind := w.rng.IntN(total), blow(0)
	for n -= w.faults.blows[0]; n >= 0; n -= w.faults.blows[kind] {
		kind++
	}
	p := w.procs[w.rng.IntN(len(w.procs))]
	switch kind {
	case blowAdd:
		if len(w.procs) < 4 {
			w.start(w.instance(), newDisk())
		}
		return
	case blowLeap:
		far := 2 * time.Second
		if w.faults.retention < time.Hour {
			far = 2 * w.faults.retention
		}
		w.now = w.now.Add(w.between(50*time.Millisecond, far))
		w.say("time leaps")
		return
	}
	if p.alive && !p.frozen() {
		w.hit(p, kind)
	}
}

func (w *world) hit(p *simProcess, kind blow) {
	w.count(kind.String())
	soon := w.now.Add(w.between(5*time.Millisecond, 500*time.Millisecond))
	switch kind {
	case blowCrash:
		p.crash()
		p.rebirth = soon
	case blowFreeze:
		p.thaw = w.now.Add(w.between(20*time.Millisecond, 1500*time.Millisecond))
		w.say("%s stands still until %v", p, p.thaw.Sub(time.UnixMilli(simEpoch)))
	case blowStall:
		r := p.runners[w.rng.IntN(len(p.runners))]
		r.thaw = w.now.Add(w.between(20*time.Millisecond, 1200*time.Millisecond))
		w.say("%s stands still", r)
	case blowDrain, blowLeave:
		p.drain(kind == blowLeave)
		p.rebirth = soon
	case blowTwin:
		if len(w.procs) < 4 {
			p.thaw = w.now.Add(w.between(100*time.Millisecond, 1500*time.Millisecond))
			w.say("%s stands still and has a twin", p)
			w.start(p.name, newDisk())
		}
	case blowSkew:
		p.skew = w.between(-2*time.Hour, 30*time.Hour)
		w.say("%s sets its clock to %v off", p, p.skew)
	case blowVisit:
		w.visit(p)
	case blowLaggard:
		p.member.slow = w.now.Add(w.between(simRebalanceTimeout/2, 3*simRebalanceTimeout))
		w.say("%s is slow to join", p)
	case blowDisconnect:
		p.member.deaf = soon
		w.say("%s is not heard by the group", p)
	}
}

// calm ends the hostility: everybody is awake, and whoever is gone comes back.
func (w *world) calm() {
	w.chaos = false
	f := &w.faults
	f.lost, f.dropped, f.late, f.refused, f.again, f.diskError, f.unread = 0, 0, 0, 0, 0, 0, 0
	f.markers, f.requests, f.stores, f.restores = 10, 10, 10, 10
	f.pace = 2 * time.Millisecond
	w.say("calm")
	for _, p := range w.procs {
		p.thaw, p.member.deaf, p.member.slow = w.now, w.now, w.now
		for _, r := range p.runners {
			r.thaw = w.now
		}
	}
}
