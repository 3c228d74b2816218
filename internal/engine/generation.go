package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// ErrReset says that a group was reset after this process had looked where it stands:
// what it would read and write is another generation's.
var ErrReset = errors.New("the group was reset while this process was starting: start it again")

// inGeneration returns the plan with the topics in which the group runs since its last
// reset; nil stands for a group that was never reset.
func inGeneration(p *topology.Plan, r *control.Reset) *topology.Plan {
	if r == nil || r.Generation <= 1 {
		return p
	}
	q := *p
	q.StateTopic = r.State
	if q.Table != nil {
		table := *q.Table
		table.Topic, _ = control.Topics(p.Group, r.Generation) // it may be younger than the reset
		q.Table = &table
	}
	return &q
}

// ShapeOf returns what a plan's group reads and writes, for the control topic.
func ShapeOf(p *topology.Plan, partitions int32) *control.Shape {
	s := &control.Shape{Group: p.Group, Fingerprint: p.Fingerprint, Partitions: partitions, State: p.StateTopic}
	for _, in := range p.Inputs {
		kind := control.StreamShape
		switch in.Kind {
		case topology.JoinInput:
			kind = control.JoinShape
		case topology.LoopInput:
			kind = control.LoopShape
		}
		s.Inputs = append(s.Inputs, control.ShapeInput{Topic: in.Topic, Kind: kind})
	}
	if p.Table != nil {
		s.Table = p.Table.Topic
	}
	for _, out := range p.Outputs {
		s.Outputs = append(s.Outputs, out.Topic)
	}
	return s
}

// publish tells the control topic of the groups' tables and shapes. A name that has an
// alias already keeps it: a reset may have moved it.
func (e *Engine) publish(ctx context.Context, s *control.State) error {
	c := e.o.Cluster
	if err := control.Ensure(ctx, c); err != nil {
		return err
	}
	for _, g := range e.groups {
		if shape := ShapeOf(g.plan, g.tasks); !shape.Equal(s.Shapes[g.plan.Group]) {
			if err := control.SetShape(ctx, c, shape); err != nil {
				g.log.Warn("tools will not know what the group reads and writes", "err", err)
			}
		}
		if _, named := s.Aliases[g.plan.Group]; named || g.plan.Table == nil {
			continue
		}
		a := control.Alias{Name: g.plan.Group, Table: g.plan.Table.Topic, Generation: g.generation(), Since: time.Now()}
		if _, err := control.Move(ctx, c, a); err != nil {
			return fmt.Errorf("group %s: %w", g.plan.Group, err)
		}
	}
	return nil
}

// generation returns that of the topics in which the group runs.
func (g *group) generation() uint64 {
	if g.reset == nil {
		return 1
	}
	return g.reset.Generation
}

// mute says below which offsets of a task's inputs outputs are silent.
func (g *group) mute(partition int32) map[string]int64 {
	if g.reset == nil || !g.reset.Mute {
		return nil
	}
	m := map[string]int64{}
	for _, in := range g.plan.Inputs {
		if goal := g.reset.Goal(record.Partition{Topic: in.Topic, Partition: partition}); goal > 0 {
			m[in.Topic] = goal
		}
	}
	return m
}

// confirmation is an answer to whether the group still stands where this process
// believes, given after a rebalance.
type confirmation struct {
	done chan struct{} // closed when err is there
	err  error
}

// confirm asks once more, now that the process is a member: a reset that came before
// has ended then, or its transaction is waited for, and one that comes later finds the
// member and refuses. Tasks are opened only afterwards.
func (g *group) confirm() {
	c := &confirmation{done: make(chan struct{})}
	g.mu.Lock()
	g.confirmed = c
	g.mu.Unlock()
	g.engine.run.Go(func() {
		defer close(c.done)
		if c.err = g.unchanged(g.engine.ctx); c.err != nil && g.engine.ctx.Err() == nil {
			g.fail(fmt.Errorf("group %s: %w", g.plan.Group, c.err))
		}
	})
}

func (g *group) unchanged(ctx context.Context) error {
	for n := 1; ; n++ {
		s, err := control.ReadAll(ctx, g.engine.o.Cluster)
		switch {
		case err == nil && !sameReset(g.reset, s.Resets[g.plan.Group]):
			return ErrReset
		case err == nil || !kafka.Transient(err):
			return err
		}
		g.log.Warn("looking for a reset has to wait", "err", err)
		if !pause(ctx, backoff(n)) {
			return ctx.Err()
		}
	}
}

func sameReset(a, b *control.Reset) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Number == b.Number
}

// awaitConfirmed returns once the group is known to stand where it was.
func (g *group) awaitConfirmed(ctx context.Context) error {
	g.mu.Lock()
	c := g.confirmed
	g.mu.Unlock()
	if c == nil {
		return nil
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
