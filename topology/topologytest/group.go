package topologytest

import (
	"context"
	"fmt"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// RecordError is what a record that cannot be processed is reported with: it names
// the record and wraps the cause.
type RecordError = task.RecordError

// Group is what one group keeps: its table, its stores, its counts.
type Group struct {
	app     *App
	plan    *topology.Plan
	lookups map[string]task.Lookup
	tasks   []*task.Task // by partition

	emitted []task.Out      // of the open transaction
	changes []record.Record // of the last commit
	err     error           // why the group has stopped
}

// restore makes the tasks anew, from their changelogs.
func (g *Group) restore() error {
	db := state.NewMemory()
	g.tasks, g.emitted, g.err = nil, nil, nil
	for p := range g.app.partitions {
		t, err := g.open(db, p)
		if err != nil {
			return err
		}
		g.tasks = append(g.tasks, t)
	}
	return nil
}

func (g *Group) open(db state.DB, p int32) (*task.Task, error) {
	c := changelog.Config{
		Store: fmt.Sprintf("%s/%d", g.plan.Group, p), DB: db, Cluster: cluster, Partition: p,
		StateTopic: g.plan.StateTopic, Clock: g.app.Now, Logs: g.app.topics,
	}
	if g.plan.Table != nil {
		c.TableTopic = g.plan.Table.Topic
	}
	for _, in := range g.plan.Inputs {
		if in.Kind == topology.JoinInput {
			c.JoinTopics = append(c.JoinTopics, in.Topic)
		}
	}
	s, err := changelog.Restore(context.Background(), c)
	if err != nil {
		return nil, err
	}
	start := map[string]int64{}
	for _, pos := range s.JoinPositions() {
		start[pos.Topic] = pos.Offset
	}
	return task.New(task.Config{
		Plan: g.plan, Partition: p, Cluster: cluster, State: s, Start: start,
		Lookups: g.lookups, MaxRecord: g.app.maxRecord, Context: g.app.ctx,
	})
}

func (g *Group) crash() error {
	for _, t := range g.tasks {
		if err := t.State().Close(false); err != nil {
			return fmt.Errorf("crash of %s/%d: %w", g.plan.Group, t.Partition(), err)
		}
	}
	return g.restore()
}

// process steps every record that waits, in the order in which they were appended,
// and commits unless that is the test's.
func (g *Group) process() (records int, err error) {
	if g.err != nil {
		return 0, g.stopped()
	}
	for _, t := range g.tasks {
		for r := g.waiting(t); r != nil; r = g.waiting(t) {
			if err := g.step(t, r); err != nil {
				return records, err
			}
			records++
		}
	}
	if g.app.manual || g.deferred() > 0 {
		return records, nil
	}
	return records, g.commit()
}

// waiting returns a copy of the task's next record.
func (g *Group) waiting(t *task.Task) *record.Record {
	var first *record.Record
	var before int64
	for i := range g.plan.Inputs {
		topic := g.plan.Inputs[i].Topic
		r, order, ok := g.app.topics.next(topic, t.Partition(), t.Next(topic))
		if ok && (first == nil || order < before) {
			first, before = r, order
		}
	}
	if first == nil {
		return nil
	}
	c := first.Clone()
	return &c
}

func (g *Group) step(t *task.Task, r *record.Record) error {
	effects, err := t.Step(r.Topic, r)
	if err != nil {
		return g.stop(err)
	}
	g.emitted = append(g.emitted, effects.Emits...)
	return nil
}

// stop is what production does with a failed task: nothing of the open transaction
// stays, and the task does not go on.
func (g *Group) stop(err error) error {
	g.abort()
	g.err = err
	return err
}

func (g *Group) stopped() error {
	return fmt.Errorf("group %s has stopped (Crash starts it again, at the record that stopped it): %w", g.plan.Group, g.err)
}

func (g *Group) abort() {
	for _, t := range g.tasks {
		t.Abort()
	}
	g.emitted = nil
}

// deferred returns how many commits callbacks hold up.
func (g *Group) deferred() (open int) {
	for _, t := range g.tasks {
		n, _ := t.Deferred()
		open += n
	}
	return open
}

// commit makes the open transaction's changelog and emits a part of the topics.
func (g *Group) commit() error {
	if g.err != nil {
		return g.stopped()
	}
	for _, t := range g.tasks {
		switch n, err := t.Deferred(); {
		case err != nil:
			return g.stop(fmt.Errorf("group %s: a deferred commit was released with an error: %w", g.plan.Group, err))
		case n > 0:
			return fmt.Errorf("group %s: %d calls of DeferCommit have not been released", g.plan.Group, n)
		}
	}
	var changes []record.Record
	for _, t := range g.tasks {
		if !t.Touched() {
			continue
		}
		err := t.Seal(func(c task.Change) error {
			r := record.Record{Topic: c.Topic, Partition: t.Partition(), Timestamp: c.Timestamp, Key: c.Key, Value: c.Value}
			changes = append(changes, r.Clone())
			return nil
		})
		if err != nil {
			return g.stop(err)
		}
	}
	if len(changes) > 0 {
		g.publish(changes)
	}
	return nil
}

// publish appends what was emitted, then the changelog, and ends the transaction.
func (g *Group) publish(changes []record.Record) {
	for _, o := range g.emitted {
		g.app.topics.append(&record.Record{
			Topic: o.Topic, Partition: g.plan.Hasher.Partition(o.Key, g.app.partitions),
			Key: o.Key, Value: o.Value, Headers: o.Headers, Timestamp: o.Timestamp,
		})
	}
	for i := range changes {
		g.app.topics.append(&changes[i])
	}
	g.emitted, g.changes = nil, changes
	for _, t := range g.tasks {
		if t.Touched() {
			t.Commit(g.ends(t.Partition()))
		}
	}
}

// ends returns how far a task's changelogs go.
func (g *Group) ends(p int32) []record.Position {
	ends := []record.Position{g.app.topics.end(g.plan.StateTopic, p)}
	if g.plan.Table != nil {
		ends = append(ends, g.app.topics.end(g.plan.Table.Topic, p))
	}
	return ends
}
