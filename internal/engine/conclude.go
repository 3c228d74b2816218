package engine

import (
	"context"
	"maps"
	"slices"
	"time"
)

const (
	lookEvery    = 200 * time.Millisecond // at how far a bounded run has come
	reportEvery  = 5 * time.Second
	concludeTime = time.Minute // for a run that has come to its end to write its state to disk
)

// conclude ends the engine when a bounded run has come to its end.
func (e *Engine) conclude() {
	select {
	case <-e.begun:
	case <-e.ctx.Done():
		return
	}
	var reported time.Time
	for pause(e.ctx, lookEvery) {
		done, err := e.finish.look(e.ctx)
		switch {
		case e.ctx.Err() != nil:
			return
		case err != nil && !mayPass(err):
			e.fail(err)
			return
		case err != nil:
			e.o.Log.Warn("cannot see how far the groups have come, trying again", "err", err)
		case done:
			e.atEnd.Store(true)
			e.o.Log.Info("all inputs are processed up to their ends")
			go e.leaveAtEnd()
			return
		}
		e.finish.loosen(e.ctx)
		if now := e.o.Clock(); now.Sub(reported) >= reportEvery {
			e.finish.report(now, !reported.IsZero())
			reported = now
		}
	}
}

// leaveAtEnd shuts down on a goroutine of its own: not in the run group, which it waits
// for. Wait waits for it. The tasks are given to processes that go on.
func (e *Engine) leaveAtEnd() {
	ctx, cancel := context.WithTimeout(context.Background(), concludeTime)
	defer cancel()
	if err := e.Leave(ctx); err != nil {
		e.o.Log.Warn("the run has come to its end, but not all of its state to disk; the next start reads it from Kafka", "err", err)
	}
}

// loosen lets the partitions of a group go on that have come to their ends, where the
// group has stood still for long: another process may hold the rest, and wait for these
// because it has found later ends for them. Only ends that were found move, to where
// they are found now.
func (f *finish) loosen(ctx context.Context) {
	for _, s := range f.stages {
		for _, e := range s.groups {
			now := e.engine.o.Clock()
			if s.done || len(e.fed) > 0 || e.still.IsZero() || !e.waitsForOthers() || now.Sub(e.still) < 3*e.engine.o.SessionTimeout {
				continue
			}
			e.still = now
			bounds, err := f.until.resolve(ctx, e.group, slices.Collect(maps.Keys(e.lows)))
			if err != nil {
				continue // the next look says so
			}
			e.log.Warn("the group stands still before its end: another process holds the rest; this one goes on to the ends of now, in case that is what the other waits for")
			e.ends.Bound(bounds)
		}
	}
}

// waitsForOthers reports whether all that is missing is held by other processes.
func (e *ending) waitsForOthers() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	waits := false
	for p, bound := range e.bounds {
		if at, ok := e.at[p]; !ok || at < bound {
			if e.owner[p.Partition] != nil {
				return false
			}
			waits = true
		}
	}
	return waits
}

// report tells the log how far each group is, and how long it will take. The first one
// is not told: it is what the next ones are measured against.
func (f *finish) report(now time.Time, tell bool) {
	for _, s := range f.stages {
		for _, e := range s.groups {
			if !s.done {
				e.report(now, tell)
			}
		}
	}
}

func (e *ending) report(now time.Time, tell bool) {
	done, left := e.progress()
	args := progressAttrs(done, left, e.pace.Look(done, now))
	if n := len(e.fed) + len(e.inner); n > 0 {
		args = append(args, "open_partitions", n) // whose ends nobody knows yet
	}
	if tell {
		e.log.Info("on the way to the end of the inputs", args...)
	}
}

// progress counts offsets up to the bounds that are known: since the first report, and
// still to go.
func (e *ending) progress() (done, left int64) {
	for p, bound := range e.bounds {
		at, ok := e.at[p]
		if !ok {
			at = e.lows[p]
		}
		if _, ok := e.from[p]; !ok {
			e.from[p] = at
		}
		done += max(0, min(at, bound)-e.from[p])
		left += max(0, bound-at)
	}
	return done, left
}
