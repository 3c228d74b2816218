package reset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// transactionTime bounds the reset's transaction: while it is open, processes that start
// wait for its end.
const transactionTime = 10 * time.Second

// Apply makes the reset, and returns when it is made. A crash before its end, or an
// error, changes nothing, unless the error says otherwise; topics of a generation that
// is not used are removed with the next reset's old ones.
func (p *Plan) Apply(ctx context.Context) error {
	if err := p.apply(ctx); err != nil {
		return fmt.Errorf("reset group %s: %w", p.Group, err)
	}
	return nil
}

func (p *Plan) apply(ctx context.Context) error {
	if err := p.idle(ctx); err != nil {
		return err
	}
	w, err := p.cluster.NewProducer(kafka.ProducerConfig{TransactionalID: p.Group + ".reset", Timeout: transactionTime})
	if err != nil {
		return err
	}
	defer w.Close()
	if r := w.Init(ctx); r.Outcome != kafka.OK { // ends what a reset that crashed has left open, and fences one that has not
		return r.Err
	}
	if err := p.unmoved(ctx); err != nil {
		return err
	}
	if err := p.create(ctx); err != nil {
		return err
	}
	records, err := p.records(ctx)
	if err != nil {
		return err
	}
	return p.commit(ctx, w, records)
}

// idle returns an error where the group has members.
func (p *Plan) idle(ctx context.Context) error {
	members, err := p.cluster.Members(ctx, p.Group)
	if err == nil && len(members) > 0 {
		err = &BusyError{p.Group, members}
	}
	return err
}

// unmoved returns an error where the plan does not hold any more.
func (p *Plan) unmoved(ctx context.Context) error {
	now, err := look(ctx, p.cluster, &p.o)
	if err == nil && !now.same(p.g) {
		err = ErrMoved
	}
	return err
}

// create makes the topics of the generation, and the control topic.
func (p *Plan) create(ctx context.Context) error {
	if err := control.Ensure(ctx, p.cluster); err != nil {
		return err
	}
	present, _ := p.g.generation()
	table, state := control.Topics(p.Group, present)
	there, err := p.cluster.Topics(ctx, table, state)
	if err != nil {
		return err
	}
	specs := []kafka.TopicSpec{p.spec(p.next.State, there[state])}
	if p.next.Table != "" {
		specs = append(specs, p.spec(p.next.Table, there[table]))
	}
	_, err = p.cluster.CreateTopics(ctx, specs...)
	return err
}

// kept are the settings of a topic that its next generation takes over.
var kept = []string{"compression.type", "max.message.bytes", "min.insync.replicas", "segment.bytes"}

func (p *Plan) spec(name string, like kafka.Topic) kafka.TopicSpec {
	s := kafka.TableSpec(name, p.g.shape.Partitions)
	s.Replication = like.Replication
	for _, k := range kept {
		if v, ok := like.Config[k]; ok {
			s.Config[k] = v
		}
	}
	return s
}

// records returns what the transaction writes.
func (p *Plan) records(ctx context.Context) ([]kafka.Out, error) {
	p.next.At = p.o.Clock().UTC().Truncate(time.Millisecond)
	outs := make([]kafka.Out, p.g.shape.Partitions)
	tasks := make([]int32, len(outs))
	for t := range tasks {
		tasks[t] = int32(t)
	}
	at, err := p.positions(ctx)
	if err != nil {
		return nil, err
	}
	err = each(tasks, askedAtOnce, func(task int32) error {
		pos, err := p.positionsOf(ctx, task, at)
		if err == nil {
			outs[task] = kafka.Out{Topic: p.next.State, Partition: task, Key: changelog.PositionsKey(), Value: pos.Append(nil), Timestamp: pos.StreamTime}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	marks, err := p.marks()
	for _, r := range marks {
		outs = append(outs, kafka.Out{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp})
	}
	return outs, err
}

// marks returns the records for the control topic.
func (p *Plan) marks() ([]record.Record, error) {
	r, err := p.next.Record()
	if err != nil || p.next.Table == "" {
		return []record.Record{r}, err
	}
	var a control.Alias
	_, named := p.g.control.Aliases[p.Group]
	switch {
	case p.AtOnce || p.OldTable == "":
		a = control.Alias{Name: p.Group, Table: p.next.Table, Generation: p.next.Generation, Since: p.next.At}
	case !named: // readers must not lose the old table's name when the new one appears
		a = control.Alias{Name: p.Group, Table: p.OldTable, Generation: 1, Since: p.next.At}
	default:
		return []record.Record{r}, nil
	}
	alias, err := a.Record()
	return []record.Record{r, alias}, err
}

// commit writes the records and the offsets in one transaction. Whether the group has
// members is looked at once more when all is written: a process that joins later reads
// the control topic after it has joined, and waits there for the transaction's end.
func (p *Plan) commit(ctx context.Context, w *kafka.Producer, outs []kafka.Out) error {
	for i := range outs {
		w.Produce(&outs[i])
	}
	offsets, err := p.offsets(outs)
	if err != nil {
		return err
	}
	if _, r := w.Flush(ctx); r.Outcome != kafka.OK {
		return p.drop(ctx, w, r.Err)
	}
	if r := w.CommitOffsets(ctx, kafka.Fence{Group: p.Group, Generation: -1}, offsets); r.Outcome != kafka.OK {
		return p.drop(ctx, w, r.Err)
	}
	if err := p.idle(ctx); err != nil {
		return p.drop(ctx, w, err)
	}
	if r := w.End(ctx, true); r.Outcome != kafka.OK {
		return p.decide(ctx, w, r)
	}
	return nil
}

// offsets are those of the positions records, without the joined tables': where these
// go on is no matter of the group's offsets.
func (p *Plan) offsets(outs []kafka.Out) ([]record.Position, error) {
	var all []record.Position
	for i := range outs {
		if outs[i].Topic != p.next.State {
			continue
		}
		pos, err := changelog.ParsePositions(outs[i].Value)
		if err != nil {
			return nil, err
		}
		all = append(all, slices.DeleteFunc(pos.Inputs, func(q record.Position) bool {
			return !slices.Contains(p.g.streams, q.Of()) && !slices.Contains(p.g.loops, q.Of())
		})...)
	}
	return all, nil
}

// dropTime bounds the abort of a reset that was interrupted.
const dropTime = time.Second

// drop aborts the transaction, also when ctx has ended, for others may wait for its end;
// where that fails, the brokers do it.
func (p *Plan) drop(ctx context.Context, w *kafka.Producer, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTime)
	defer cancel()
	w.End(ctx, false)
	return fmt.Errorf("%w: %w", ErrNotMade, cause)
}

// decide finds out what became of a transaction whose end is not known.
func (p *Plan) decide(ctx context.Context, w *kafka.Producer, r kafka.Result) error {
	if r.Outcome != kafka.Unknown && r.Outcome != kafka.Retry {
		return p.drop(ctx, w, r.Err)
	}
	if err := w.Rebuild(); err != nil {
		return errors.Join(r.Err, err)
	}
	if again := w.Init(ctx); again.Outcome != kafka.OK {
		return fmt.Errorf("whether the reset was made is not known yet: run it again, which finds out: %w", errors.Join(r.Err, again.Err))
	}
	s, err := control.ReadAll(ctx, p.cluster)
	if err != nil {
		return err
	}
	if made := s.Resets[p.Group]; made == nil || made.Number != p.next.Number || !made.At.Equal(p.next.At) {
		return fmt.Errorf("%w: %w", ErrNotMade, r.Err)
	}
	return nil
}
