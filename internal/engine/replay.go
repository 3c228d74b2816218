package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
)

// replay is what a process knows of its group's way back to where it stood before its
// last reset. Every process of the group looks after it, for any may be the last one:
// what it does may be done twice.
type replay struct {
	g          *group
	left, goal atomic.Int64 // input records of the whole group

	shown atomic.Bool // readers see the group's table

	pace Pace
	told time.Time // of the last line in the log
}

const (
	replayTick = time.Second
	// removeTick is how often topics of an older generation are looked at that could not
	// be deleted yet; more often where they are kept for less.
	removeTick = time.Minute
)

// run tells how far the group is, shows readers the new table when it stands where it
// stood, and deletes the old one. It ends when there is nothing left to do.
func (r *replay) run(ctx context.Context) {
	g := r.g
	r.told = g.engine.o.Clock()
	for n := 0; ; {
		wait, err := r.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n++
			wait = max(replayTick, backoff(n))
			g.log.Warn("looking after the reset has to wait", "err", err)
		case wait == 0:
			return
		default:
			n = 0
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// step does what is due and returns when to look again, 0 for never.
func (r *replay) step(ctx context.Context) (time.Duration, error) {
	left, err := r.look(ctx)
	if err != nil {
		return 0, err
	}
	if left > 0 {
		r.tell(left)
		return replayTick, nil
	}
	since, ours, err := r.show(ctx)
	if err != nil || !ours {
		return 0, err
	}
	if rest := r.g.engine.o.KeepOld - time.Since(since); rest > 0 && len(r.g.reset.Old) > 0 {
		return rest, nil
	}
	gone, err := r.remove(ctx)
	if err != nil || gone {
		return 0, err
	}
	return min(removeTick, max(replayTick, r.g.engine.o.KeepOld)), nil
}

// finish lets readers switch where a run ends that has just come there.
func (r *replay) finish(ctx context.Context) {
	if r.g.reset == nil || r.shown.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, drainTime/2)
	defer cancel()
	left, err := r.look(ctx)
	if err == nil && left == 0 {
		_, _, err = r.show(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.g.log.Warn("readers switch when the group runs again", "err", err)
	}
}

// look asks how far the group is.
func (r *replay) look(ctx context.Context) (int64, error) {
	reset := r.g.reset
	topics := slices.Sorted(maps.Keys(reset.Until))
	if len(topics) == 0 {
		return 0, nil
	}
	committed, err := r.g.engine.o.Cluster.Committed(ctx, reset.Group, topics...)
	if err != nil {
		return 0, err
	}
	left, goal := reset.Left(committed)
	r.left.Store(left)
	r.goal.Store(goal)
	return left, nil
}

// tell writes a line now and then.
func (r *replay) tell(left int64) {
	now, done := r.g.engine.o.Clock(), r.goal.Load()-left
	rate := r.pace.Look(done, now)
	if now.Sub(r.told) < reportEvery {
		return
	}
	r.g.log.Info("on the way to where the group stood before its reset", progressAttrs(done, left, rate)...)
	r.told = now
}

// show moves the alias of the group's table to the generation in which it runs. since
// is when readers were given it; ours is false where another reset has come meanwhile.
func (r *replay) show(ctx context.Context) (since time.Time, ours bool, err error) {
	g, c := r.g, r.g.engine.o.Cluster
	s, err := control.ReadAll(ctx, c)
	if err != nil || !sameReset(g.reset, s.Resets[g.plan.Group]) {
		return since, false, err
	}
	defer func() { r.shown.Store(ours && err == nil) }()
	if g.plan.Table == nil {
		return g.reset.At, true, nil
	}
	old := s.Aliases[g.plan.Group]
	if old.Table == g.plan.Table.Topic {
		return old.Since, true, nil
	}
	a := control.Alias{Name: g.plan.Group, Table: g.plan.Table.Topic, Generation: max(old.Generation+1, g.reset.Generation), Since: time.Now()}
	if _, err := control.Move(ctx, c, a); err != nil {
		return since, false, err
	}
	g.log.Info("the group stands where it stood before its reset: readers switch", "from", old.Table, "to", a.Table)
	return a.Since, true, nil
}

// remove deletes the topics of other generations that nobody needs; gone is false where
// somebody still does.
func (r *replay) remove(ctx context.Context) (gone bool, err error) {
	g, c := r.g, r.g.engine.o.Cluster
	old := slices.DeleteFunc(slices.Clone(g.reset.Old), func(t string) bool {
		_, ours := control.GenerationOf(g.plan.Group, t)
		return !ours || t == g.plan.StateTopic || g.plan.Table != nil && t == g.plan.Table.Topic
	})
	there, err := c.Topics(ctx, old...)
	if err != nil || len(there) == 0 {
		return err == nil, err
	}
	names := slices.Sorted(maps.Keys(there))
	readers, err := c.Subscribers(ctx, names...)
	if err != nil {
		return false, err
	}
	readers = slices.DeleteFunc(readers, func(group string) bool { return group == g.plan.Group })
	if len(readers) > 0 {
		g.log.Info("topics of an older generation are kept: groups still read them, or may", "topics", names, "groups", readers)
		return false, nil
	}
	if err := c.DeleteTopics(ctx, names...); err != nil {
		return false, fmt.Errorf("delete topics of an older generation: %w", err)
	}
	g.log.Info("deleted topics of an older generation", "topics", names)
	return true, nil
}
