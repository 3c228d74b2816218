package reset

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// positions returns where each partition of the streams and of the loop goes on. What
// waits in the loop belongs to the state that it was made of: where that is cleared, the
// loop goes on at its end.
func (p *Plan) positions(ctx context.Context) (map[record.Partition]record.Position, error) {
	all := map[record.Partition]record.Position{}
	ends, err := p.cluster.EndsOf(ctx, append(slices.Clone(p.g.streams), p.g.loops...)...)
	if err != nil {
		return nil, err
	}
	set := func(part record.Partition, offset int64) {
		all[part] = record.Position{
			Cluster: p.cluster.ID(), Topic: part.Topic, TopicID: ends[part].TopicID,
			Partition: part.Partition, Offset: offset, LeaderEpoch: -1,
		}
	}
	for i := range p.Moves {
		set(p.Moves[i].Partition, p.Moves[i].To)
	}
	for _, part := range p.g.loops {
		at, ok := p.g.committed[part]
		if !p.KeepState {
			at = ends[part].HighWatermark
		} else if !ok {
			at = ends[part].Start
		}
		set(part, at)
	}
	return all, nil
}

// positionsOf returns the positions record of a task: a new one, or with kept state the
// present one, moved.
func (p *Plan) positionsOf(ctx context.Context, task int32, at map[record.Partition]record.Position) (*changelog.Positions, error) {
	pos := &changelog.Positions{Cluster: p.cluster.ID(), Fingerprint: p.g.shape.Fingerprint}
	if p.KeepState {
		last, err := p.lastPositions(ctx, task)
		if err != nil {
			return nil, err
		}
		if last != nil {
			pos = last
		}
		pos.Epoch++
	}
	for _, in := range p.g.shape.Inputs {
		q, ok := at[record.Partition{Topic: in.Topic, Partition: task}]
		if !ok || in.Kind == control.JoinShape {
			continue
		}
		i := slices.IndexFunc(pos.Inputs, func(old record.Position) bool { return old.Topic == in.Topic })
		if i < 0 {
			pos.Inputs = append(pos.Inputs, q)
			continue
		}
		if in.Kind == control.StreamShape || pos.Inputs[i].Offset < q.Offset {
			pos.Inputs[i] = q
		}
	}
	return pos, nil
}

// lastPositions returns what the task has committed last, nil where it has nothing. The
// record ends each of its transactions, so it is looked for from the log's end.
func (p *Plan) lastPositions(ctx context.Context, task int32) (*changelog.Positions, error) {
	part := record.Partition{Topic: p.next.State, Partition: task}
	ends, err := p.cluster.Ends(ctx, part)
	if err != nil {
		return nil, err
	}
	for back := int64(16); ; back *= 16 {
		from := max(ends.Start, ends.HighWatermark-back)
		value, err := p.lastIn(ctx, part, from, ends.HighWatermark)
		if err != nil {
			return nil, err
		}
		if value != nil {
			return changelog.ParsePositions(value)
		}
		if from == ends.Start {
			return nil, nil
		}
	}
}

// lastIn returns the last value of the positions record in [from, to), nil where there
// is none.
func (p *Plan) lastIn(ctx context.Context, part record.Partition, from, to int64) (value []byte, err error) {
	r := p.cluster.Open(part, from)
	defer r.Close()
	for next := from; next < to; {
		b, err := r.Next(ctx)
		if err != nil {
			return nil, fmt.Errorf("positions in %s: %w", part, err)
		}
		for i := range b.Records {
			if bytes.Equal(b.Records[i].Key, changelog.PositionsKey()) {
				value = bytes.Clone(b.Records[i].Value)
			}
		}
		next = b.Next
	}
	return value, nil
}
