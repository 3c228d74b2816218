package engine

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// simProcess is one process: a member, a fetcher and some workers, with the
// group's part of the engine between them (group.go, restore.go), as one life.
type simProcess struct {
	w           *world
	name        string // the instance
	incarnation uint64
	disk        *simDisk
	db          *simDB
	alive       bool
	thaw        time.Time // stands still until then
	rebirth     time.Time // of a new life, once this one is over
	gone        bool      // for good
	skew        time.Duration
	member      *simMember
	runners     []*simRunner
	fetcher     *simFetcher
	coros       []*coro
	epoch       uint64
	owner       [simTasks]*simRunner
	opens       [simTasks]*simOpen
	states      map[*changelog.State]*simOpen
	ends        map[record.Partition]record.Ends // as of the last join, for a mutation
	belated     []func()                         // revokes that the workers have not heard of, for a mutation
	belatedAt   int32
	draining    bool
	leaving     bool
	patience    time.Time // of the drain
}

// instance names a new instance.
func (w *world) instance() string { return string(rune('A' + w.born)) }

// start begins a process's life.
func (w *world) start(name string, disk *simDisk) *simProcess {
	w.born++
	p := &simProcess{
		w: w, name: name, disk: disk, incarnation: w.rng.Uint64(), alive: true, thaw: w.now,
		states: map[*changelog.State]*simOpen{},
	}
	p.db = &simDB{p: p, disk: disk}
	p.member = &simMember{p: p, generation: -1, fence: kafka.Fence{Generation: -1}, deaf: w.now}
	p.fetcher = &simFetcher{p: p}
	for i := range w.faults.workers {
		p.runners = append(p.runners, newSimRunner(p, i))
	}
	w.procs = append(w.procs, p)
	w.say("%s starts", p)
	return p
}

func (p *simProcess) String() string {
	return fmt.Sprintf("%s.%x", p.name, p.incarnation>>48)
}

func (p *simProcess) frozen() bool { return p.thaw.After(p.w.now) }

// clock is the wall clock as the process believes it.
func (p *simProcess) clock() time.Time { return p.w.now.Add(p.skew) }

func (p *simProcess) offer(w *world) {
	switch {
	case !p.alive && w.over:
	case !p.alive && !p.gone:
		w.due(p, 10, p.rebirth)
	case !p.alive:
	case p.frozen():
		w.wake(p.thaw)
	default:
		p.member.offer(w)
		p.fetcher.offer(w)
		for _, r := range p.runners {
			r.offer(w)
		}
		for _, c := range p.coros {
			c.offer(w)
		}
		if p.draining {
			p.offerEnd(w)
		}
	}
}

// act ends a drain, or begins a new life.
func (p *simProcess) act(w *world) {
	if p.alive {
		p.stopped()
		return
	}
	p.gone = true
	w.procs = slices.DeleteFunc(w.procs, func(o *simProcess) bool { return o == p })
	name, disk := p.name, p.disk
	switch {
	case w.chance(8): // the machine is gone, too
		disk = newDisk()
	case w.chance(8):
		name, disk = w.instance(), newDisk()
	}
	w.start(name, disk)
}

// crash ends a life at once.
func (p *simProcess) crash() {
	p.w.say("%s crashes", p)
	p.end()
	p.disk.crash(p.w)
}

func (p *simProcess) end() {
	p.alive = false
	p.db.dead = true
	p.stopCoros()
	for _, r := range p.runners {
		r.client.close()
	}
	if p.rebirth.Before(p.w.now) {
		p.rebirth = p.w.now.Add(p.w.between(5*time.Millisecond, 100*time.Millisecond))
	}
}

// fail stops the process because of an error, as Engine.fail does. Where the model
// has not brought that error about, the engine should not have met it.
func (p *simProcess) fail(err error, expected bool) {
	if !expected {
		p.w.violate("%s fails: %v", p, err)
	}
	p.drain(false)
}

// drain stops in order.
func (p *simProcess) drain(leave bool) {
	if p.draining {
		return
	}
	p.w.say("%s drains", p)
	p.draining, p.leaving, p.patience = true, leave, p.w.now.Add(400*time.Millisecond)
	for _, r := range p.runners {
		r.post(evDrain{})
	}
}

func (p *simProcess) offerEnd(w *world) {
	done := p.drained()
	if done && p.member.phase != memberClosed && !p.member.closing {
		p.member.close(p.leaving)
		w.wake(w.now.Add(time.Millisecond))
		return
	}
	if done && p.member.phase == memberClosed {
		w.offer(p, 10)
		return
	}
	w.due(p, 10, p.patience)
}

func (p *simProcess) drained() bool {
	return len(p.coros) == 0 && !slices.ContainsFunc(p.runners, func(r *simRunner) bool { return !r.done })
}

// stopped is the end of a drain, which may have been too slow.
func (p *simProcess) stopped() {
	slow := !p.drained()
	p.w.say("%s ends, in time: %v", p, !slow)
	p.end()
	if slow {
		p.disk.crash(p.w)
	}
}

func (p *simProcess) initialized() bool {
	for _, r := range p.runners {
		if !r.ready {
			return false
		}
	}
	return true
}

// ---- the listener of the member

func (p *simProcess) assigned(f kafka.Fence, added []kafka.TaskTopics) {
	p.w.say("%s is assigned %v in generation %d", p, tasksOf(added), f.Generation)
	shares := map[*simRunner][]kafka.TaskTopics{}
	for _, t := range added {
		r := p.owner[t.Task]
		if r == nil {
			r = slices.MinFunc(p.runners, func(a, b *simRunner) int { return p.load(a) - p.load(b) })
			p.owner[t.Task] = r
		}
		shares[r] = append(shares[r], t)
	}
	for _, r := range p.runners {
		r.post(evAssigned{f, shares[r]})
	}
	if p.belated != nil && f.Generation > p.belatedAt {
		for _, fn := range p.belated {
			fn()
		}
		p.belated = nil
	}
}

func (p *simProcess) load(r *simRunner) (n int) {
	for _, o := range p.owner {
		if o == r {
			n++
		}
	}
	return n
}

// revoked asks the workers for tasks; unacked counts those that have not answered.
func (p *simProcess) revoked(ts []kafka.TaskTopics, unacked *int) {
	p.w.say("%s is asked for %v", p, tasksOf(ts))
	for _, s := range p.disown(ts) {
		done := sync.OnceFunc(func() { *unacked-- })
		*unacked++
		if p.w.mutant.hastyRevoke {
			done()
			p.belatedAt = p.member.generation
			p.belated = append(p.belated, func() {
				gone := slices.DeleteFunc(s.tasks, func(t int32) bool { return p.owner[t] != nil })
				s.r.post(evRevoked{gone, done})
			})
			continue
		}
		s.r.post(evRevoked{s.tasks, done})
	}
}

func (p *simProcess) lost(ts []kafka.TaskTopics) {
	p.w.say("%s has lost %v", p, tasksOf(ts))
	for _, s := range p.disown(ts) {
		if !p.w.mutant.ignoreLost {
			s.r.post(evLost{s.tasks})
		}
	}
}

type simShare struct {
	r     *simRunner
	tasks []int32
}

func (p *simProcess) disown(ts []kafka.TaskTopics) (out []*simShare) {
	for _, t := range ts {
		r := p.owner[t.Task]
		if r == nil {
			continue
		}
		p.owner[t.Task] = nil
		i := slices.IndexFunc(out, func(s *simShare) bool { return s.r == r })
		if i < 0 {
			i, out = len(out), append(out, &simShare{r: r})
		}
		out[i].tasks = append(out[i].tasks, t.Task)
	}
	return out
}

// noteEnds keeps the logs' ends as of a join.
func (p *simProcess) noteEnds() {
	if !p.w.mutant.earlyEnds {
		return
	}
	p.ends = map[record.Partition]record.Ends{}
	for _, l := range p.w.broker.order {
		p.ends[l.part] = l.limits()
	}
}
