package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// ErrStuck says that a callback has not returned for longer than the watchdog
// allows. The process must exit: its worker cannot be stopped.
var ErrStuck = errors.New("a callback does not return")

// watch ends the engine when a callback hangs.
func (e *Engine) watch() {
	if e.o.Watchdog < 0 {
		return
	}
	type seen struct {
		place int64
		since time.Time
	}
	last := map[*runner]seen{}
	tick := time.NewTicker(max(e.o.Watchdog/10, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-tick.C:
			for _, g := range e.groups {
				for _, r := range g.runners {
					n, at := r.worker.at.place()
					if s, ok := last[r]; !ok || s.place != n || at == nil {
						last[r] = seen{n, now}
					} else if now.Sub(s.since) >= e.o.Watchdog {
						e.fail(stuck(g.plan.Group, at, now.Sub(s.since)))
						return
					}
				}
			}
		}
	}
}

func stuck(group string, r *record.Record, d time.Duration) error {
	return fmt.Errorf("group %s: %s/%d offset %d key %q: %w (for %v); give callbacks no work that can block, or raise the watchdog",
		group, r.Topic, r.Partition, r.Offset, r.Key, ErrStuck, d.Round(time.Millisecond))
}

// Ready returns nil when every group has joined and all its tasks here run, and
// otherwise says what is missing.
func (e *Engine) Ready() error {
	if err := e.failure(nil); err != nil {
		return err
	}
	var missing []string
	for _, g := range e.groups {
		if !g.joined.Load() {
			missing = append(missing, fmt.Sprintf("group %s has not joined", g.plan.Group))
		}
		for _, t := range g.stats().Tasks {
			switch t.Phase {
			case Restoring:
				missing = append(missing, fmt.Sprintf("group %s task %d restores (%d of %d records)", g.plan.Group, t.Partition, t.Restored, t.RestoreTotal))
			case Failed:
				missing = append(missing, fmt.Sprintf("group %s task %d failed: %s", g.plan.Group, t.Partition, t.Error))
			}
		}
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, "; "))
	}
	return nil
}

// WaitReady blocks until Ready returns nil, the engine has ended, or ctx has.
func (e *Engine) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := e.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-e.stopped:
			return e.failure(errors.New("the engine was stopped"))
		case <-tick.C:
		}
	}
}

// Stats returns a snapshot of all figures.
func (e *Engine) Stats() Stats {
	var s Stats
	for _, g := range e.groups {
		s.Groups = append(s.Groups, g.stats())
	}
	return s
}

func (g *group) stats() GroupStats {
	s := GroupStats{
		Group: g.plan.Group, Instance: g.engine.instance, Workers: len(g.runners), Aborts: newFigures().aborts,
		ReplayedRecords: g.counters.replayed.Load(), Wipes: g.counters.wipes.Load(),
		Restores: g.counters.restores.Load(), Purged: g.counters.purged.Load(),
		ReplayLeft: g.replay.left.Load(), ReplayGoal: g.replay.goal.Load(),
		StandbyRecords: g.standbys.records.Load(),
	}
	g.mu.Lock()
	s.Standbys = len(g.standbys.running)
	g.mu.Unlock()
	for _, r := range g.runners {
		s.QueuedBytes += r.queued.load()
		if snap := r.snapshot.Load(); snap != nil {
			s.add(&snap.figures)
			for _, t := range snap.tasks {
				s.Tasks = append(s.Tasks, g.taskStats(t, snap.next))
			}
		}
	}
	return s
}

func (s *GroupStats) add(f *figures) {
	s.Commits += f.commits
	s.CommitRecords += f.records
	s.CommitChanges += f.changes
	s.CommitEmits += f.emits
	s.MutedEmits += f.muted
	s.Rebuilds += f.rebuilds
	for c, n := range f.aborts {
		s.Aborts[c] += n
	}
	s.CommitLatency.Sum += f.latency.Sum
	for i, n := range f.latency.Buckets {
		s.CommitLatency.Buckets[i] += n
	}
}

// taskStats adds what the group knows about a task to what its worker does.
func (g *group) taskStats(t TaskStats, next map[record.Partition]int64) TaskStats {
	if p, ok := g.progress.get(t.Partition); ok {
		t.Restored, t.RestoreTotal, t.RestoreETA = p.Next-p.From, p.To-p.From, max(0, p.ETA)
	}
	t.Lag = map[string]int64{}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, in := range g.plan.Inputs {
		part := record.Partition{Topic: in.Topic, Partition: t.Partition}
		t.Lag[in.Topic] = -1
		if high, ok := g.high[part]; ok {
			if n, ok := next[part]; ok {
				t.Lag[in.Topic] = max(0, high-n)
			}
		}
	}
	return t
}
