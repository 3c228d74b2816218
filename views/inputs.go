package views

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// ErrNoPositions says that the table's writer does not record which input it has
// processed: it is not a group of kappa's, or has not committed yet.
var ErrNoPositions = errors.New("the table's group records no input positions")

// inputs follows the positions that a group commits to its state topic, to tell
// which input records a table contains the results of. It lives in memory.
type inputs struct {
	cluster   string
	topic     string // <group>-state
	logs      logs
	log       *slog.Logger
	moved     *signal
	tasks     []atomic.Pointer[changelog.Positions] // per partition
	cancel    context.CancelFunc
	followers sync.WaitGroup
}

const (
	tableSuffix = "-table"
	stateSuffix = "-state"
)

func stateTopic(table string) (string, error) {
	group, ok := strings.CutSuffix(table, tableSuffix)
	if !ok {
		return "", fmt.Errorf("topic %s is no group's table: %w", table, ErrNoPositions)
	}
	return group + stateSuffix, nil
}

// followInputs starts following the state topic at the first call.
func (r *replica) followInputs(ctx context.Context) (*inputs, error) {
	r.inputsMu.Lock()
	defer r.inputsMu.Unlock()
	if r.inputs != nil || r.stopped {
		return r.inputs, nil
	}
	topic, err := stateTopic(r.Topic)
	if err != nil {
		return nil, err
	}
	in := &inputs{cluster: r.Cluster, topic: topic, logs: r.logs, log: r.log, moved: r.moved,
		tasks: make([]atomic.Pointer[changelog.Positions], r.Partitions)}
	ends, err := r.logs.EndsOf(ctx, in.partitions()...)
	if errors.Is(err, record.ErrUnknownTopic) {
		return nil, fmt.Errorf("%w: %w", ErrNoPositions, err)
	}
	if err != nil {
		return nil, err
	}
	in.start(ends)
	r.inputs = in
	return in, nil
}

func (in *inputs) partitions() []record.Partition {
	return source{Topic: in.topic, Partitions: int32(len(in.tasks))}.partitions()
}

func (in *inputs) start(ends map[record.Partition]record.Ends) {
	ctx, cancel := context.WithCancel(context.Background())
	in.cancel = cancel
	for _, p := range in.partitions() {
		in.followers.Go(func() { in.run(ctx, p, ends[p].Start) })
	}
}

func (in *inputs) stop() {
	in.cancel()
	in.followers.Wait()
}

// run follows one partition until ctx ends. Where the log was cut off or created
// again, it starts at its beginning: the positions in it are the truth.
func (in *inputs) run(ctx context.Context, p record.Partition, from int64) {
	var pause backoff
	for {
		err := in.follow(ctx, p, &from, pause.reset)
		if ctx.Err() != nil {
			return
		}
		in.log.Warn("view: following input positions stopped, trying again", "partition", p.String(), "err", err)
		if !pause.wait(ctx) {
			return
		}
		if _, lost := rebuildReason(err); lost {
			in.tasks[p.Partition].Store(nil)
			if ends, err := in.logs.Ends(ctx, p); err == nil {
				from = ends.Start
			}
		}
	}
}

func (in *inputs) follow(ctx context.Context, p record.Partition, from *int64, ok func()) error {
	reader := in.logs.Open(p, *from)
	defer reader.Close()
	key := string(changelog.PositionsKey())
	for {
		b, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		for i := range b.Records {
			if r := &b.Records[i]; string(r.Key) == key {
				if err := in.learn(p.Partition, r); err != nil {
					return err
				}
			}
		}
		*from = b.Next
		ok()
	}
}

func (in *inputs) learn(task int32, r *record.Record) error {
	if r.Tombstone() {
		in.tasks[task].Store(nil)
		return nil
	}
	ps, err := changelog.ParsePositions(r.Value)
	if err != nil {
		return fmt.Errorf("positions at %s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	in.tasks[task].Store(ps)
	in.moved.broadcast()
	return nil
}

// behind returns which of the input positions the group has not committed.
func (in *inputs) behind(positions []record.Position) ([]Behind, error) {
	var bs []Behind
	for _, want := range positions {
		if want.Partition < 0 || int(want.Partition) >= len(in.tasks) {
			return nil, fmt.Errorf("wait for input %s: %w: the group has %d tasks", want, record.ErrUnknownTopic, len(in.tasks))
		}
		have := int64(-1)
		if ps := in.tasks[want.Partition].Load(); ps != nil {
			at, ok := ps.Input(want.Topic)
			if ok && at.TopicID.Known() && want.TopicID.Known() && at.TopicID != want.TopicID {
				return nil, fmt.Errorf("wait for input %s: %w", want, record.ErrRecreated)
			}
			if ok {
				have = at.Offset
			}
		}
		if have < want.Offset {
			bs = append(bs, Behind{want.Of(), want.Offset, have})
		}
	}
	return bs, nil
}

// tables returns the table's partitions that the tasks of the positions write.
func (r *replica) tables(positions []record.Position) []record.Partition {
	var ps []record.Partition
	seen := make(map[int32]bool)
	for _, p := range positions {
		if !seen[p.Partition] {
			seen[p.Partition] = true
			ps = append(ps, record.Partition{Topic: r.Topic, Partition: p.Partition})
		}
	}
	return ps
}
