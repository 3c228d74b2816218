package task

import (
	"context"
	"fmt"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// sealBuffer holds the positions record until the transaction has ended.
type sealBuffer struct{ key, value []byte }

// Change is one record of the task's changelog, to be written to the task's own
// partition of Topic.
type Change struct {
	Topic     string
	Key       []byte
	Value     []byte // nil deletes
	Timestamp int64  // of the record that caused it; of the positions the stream time
	// Positions marks the one record that says how far the task has come. It is
	// always the last, and always there.
	Positions bool
}

// Seal hands every changelog record of the open transaction to write: the last
// value per changed key, in the order of the first change, then the positions.
// The slices stay unchanged until Commit or Abort. The task must not be stepped
// between Seal and these.
func (t *Task) Seal(write func(Change) error) error {
	err := t.cfg.State.EachChange(func(topic string, key, value []byte, stamp int64) error {
		return write(Change{Topic: topic, Key: key, Value: value, Timestamp: stamp})
	})
	if err != nil {
		return fmt.Errorf("changelog of %s/%d: %w", t.plan.Group, t.cfg.Partition, err)
	}
	t.pos.Epoch++
	t.seal.key = append(t.seal.key[:0], changelog.PositionsKey()...)
	t.seal.value = t.pos.Append(t.seal.value[:0])
	return write(Change{
		Topic: t.plan.StateTopic, Key: t.seal.key, Value: t.seal.value,
		Timestamp: t.pos.StreamTime, Positions: true,
	})
}

// Commit makes the transaction's effects the task's committed state. ends are the
// next offsets of the task's changelog partitions after the transaction.
func (t *Task) Commit(ends []record.Position) {
	p := clonePositions(t.pos)
	t.cfg.State.Commit(&p, ends)
	t.last = p
	t.settle()
}

// Abort drops the open transaction: state, positions and counters are as of the
// last commit. The caller seeks the inputs back to Positions.
func (t *Task) Abort() {
	t.cfg.State.Abort()
	t.pos = clonePositions(t.last)
	t.settle()
}

func (t *Task) settle() {
	t.touched, t.moved = false, false
	t.ctx.arena.release()
	t.hold = t.hold.next()
}

// Visit calls a visitor's callback for one key of the group table. now is the
// timestamp that the callback and what it emits carry. A visit is no input
// record: no fate is counted.
func (t *Task) Visit(v *topology.VisitorPlan, key []byte, meta any, now int64) (Effects, error) {
	r := &record.Record{Topic: v.Name, Partition: t.cfg.Partition, Offset: -1, LeaderEpoch: -1, Timestamp: now, Key: key}
	if err := t.visit(v, r, meta); err != nil {
		t.ctx.fail()
		return Effects{}, t.fail(r, err)
	}
	t.touched = true
	return Effects{Emits: t.ctx.emits}, nil
}

func (t *Task) visit(v *topology.VisitorPlan, r *record.Record, meta any) (err error) {
	if err := t.call(v, r, meta); err != nil {
		return err
	}
	return t.ctx.apply()
}

func (t *Task) call(v *topology.VisitorPlan, r *record.Record, meta any) (err error) {
	t.ctx.begin(r)
	defer t.ctx.recover(&err)
	v.Callback(&t.ctx, meta)
	return nil
}

// Keys returns up to limit keys of the group table that follow after, ascending;
// nil after means from the first. The result is the caller's.
func (t *Task) Keys(ctx context.Context, after []byte, limit int) ([][]byte, error) {
	r := state.Prefix(state.TableKey(nil, nil))
	if after != nil {
		r.From = append(state.TableKey(nil, after), 0)
	}
	it, err := t.cfg.State.Table.Scan(r)
	if err != nil {
		return nil, fmt.Errorf("scan table of %s/%d: %w", t.plan.Group, t.cfg.Partition, err)
	}
	var keys [][]byte
	for len(keys) < limit && ctx.Err() == nil && it.Next() {
		keys = append(keys, append([]byte{}, it.Key()[1:]...))
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("scan table of %s/%d: %w", t.plan.Group, t.cfg.Partition, err)
	}
	return keys, ctx.Err()
}
