package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

var (
	// ErrNoPositions says that a group's table holds state, but nothing tells how
	// far its inputs have been read: starting anywhere would count twice or lose.
	ErrNoPositions = errors.New("the table holds state but no positions are committed")
	// ErrForeign says that the group's committed offsets are beyond the positions in
	// its state: another program has run the group since, and changed its table.
	ErrForeign = errors.New("another program has run the group since")
	// ErrOtherCluster says that a task's positions are of another cluster.
	ErrOtherCluster = errors.New("the committed positions are of another cluster")
	// ErrGap says that records between the committed position and the log's start
	// have been deleted unread.
	ErrGap = errors.New("records were deleted before they were processed")
)

// openTask is a task's state while somebody has it open or is opening it. A store
// is open once at a time, so the next one waits for done.
type openTask struct {
	epoch  uint64
	cancel context.CancelFunc
	done   chan struct{}
}

// restore opens a task's state in the background and tells the worker.
func (g *group) restore(r *runner, e doRestore) {
	ctx, cancel := context.WithCancel(g.engine.ctx)
	mine := &openTask{epoch: e.epoch, cancel: cancel, done: make(chan struct{})}
	g.mu.Lock()
	if g.owner[e.partition] != r { // lost meanwhile, which r is about to hear
		g.mu.Unlock()
		cancel()
		return
	}
	before := g.opens[e.partition]
	g.opens[e.partition] = mine
	with := g.joinLot(e.partition)
	g.mu.Unlock()
	if before != nil {
		before.cancel()
	}
	g.engine.run.Go(func() {
		core, err := g.openAfter(ctx, before, e, with)
		if err != nil {
			cancel()
			close(mine.done)
			if ctx.Err() != nil && g.superseded(e.partition, mine) {
				return
			}
		}
		if core != nil {
			g.mu.Lock()
			g.states[core.State()] = mine
			g.mu.Unlock()
		}
		r.post(evRestored{e.partition, e.epoch, core, err})
	})
}

func (g *group) superseded(p int32, mine *openTask) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opens[p] != mine || g.engine.ctx.Err() != nil
}

// openAfter waits until the store is free, then for its turn.
func (g *group) openAfter(ctx context.Context, before *openTask, e doRestore, with *lot) (*task.Task, error) {
	if before != nil {
		select {
		case <-before.done:
		case <-g.engine.ctx.Done():
			return nil, g.engine.ctx.Err()
		}
	}
	select {
	case g.restores <- struct{}{}:
		defer func() { <-g.restores }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer g.progress.done(e.partition)
	if err := g.awaitConfirmed(ctx); err != nil {
		return nil, err
	}
	return g.openPatiently(ctx, e, g.knownOf(ctx, with))
}

// openPatiently tries until the brokers answer; what is known counts for the first
// attempt.
func (g *group) openPatiently(ctx context.Context, e doRestore, k *known) (*task.Task, error) {
	for n := 1; ; n++ {
		core, err := g.open(ctx, e.partition, k)
		if err == nil || ctx.Err() != nil || !kafka.Transient(err) && !errors.Is(err, sources.ErrAway) {
			return core, err
		}
		k = nil
		g.log.Warn("restore has to wait", "task", e.partition, "err", err)
		if !pause(ctx, backoff(n)) {
			return nil, ctx.Err()
		}
	}
}

// closeBytes is the most that is written to disk when a task is given up: more
// would hold up a drain, and the changelog has it all.
const closeBytes = 32 << 20

// closeState gives a store back in the background.
func (g *group) closeState(e doClose) {
	g.mu.Lock()
	mine := g.states[e.state]
	delete(g.states, e.state)
	g.mu.Unlock()
	g.engine.closers.Go(func() {
		_, dirty := e.state.Table.Unflushed()
		flush, reach := e.flush && (dirty <= closeBytes || g.engine.atEnd.Load()) && g.engine.ctx.Err() == nil, changelog.Reach(e.state.LogPositions())
		if err := e.state.Close(flush); err != nil {
			g.log.Warn("close state", "task", e.partition, "err", err)
		} else if flush {
			g.left(e.partition, reach)
		}
		mine.cancel()
		close(mine.done)
	})
}

// store writes a task's committed state to disk in the background.
func (g *group) store(r *runner, e doStore) {
	g.engine.run.Go(func() {
		err := e.flush.Run()
		r.post(evStored{e.partition, e.state, e.flush, err})
	})
}

// open restores a task's state and decides where its inputs go on.
func (g *group) open(ctx context.Context, p int32, k *known) (*task.Task, error) {
	config := g.changelogConfig(p)
	if k != nil {
		config.Logs = knownLogs{g.engine.o.Cluster, k}
	}
	s, err := changelog.Restore(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("task %s/%d: %w", g.plan.Group, p, err)
	}
	g.counters.restores.Add(1)
	g.counters.replayed.Add(s.Replayed())
	if s.Wiped() != "" {
		g.counters.wipes.Add(1)
	}
	core, err := g.place(ctx, s, p, k)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("task %s/%d: %w", g.plan.Group, p, err), s.Close(false))
	}
	return core, nil
}

func (g *group) changelogConfig(p int32) changelog.Config {
	o := &g.engine.o
	c := changelog.Config{
		Store: g.storeName(p), DB: g.engine.db, Cluster: o.Cluster.ID(), Partition: p,
		StateTopic: g.plan.StateTopic, DeleteRetention: g.deleteRetention(), Clock: o.Clock, Logs: o.Cluster,
		Table: state.TableOptions{MemoryBytes: g.engine.taskMemory()}, Flush: changelog.FlushOptions{Age: o.FlushInterval}, Log: g.log,
		OnProgress: func(pr changelog.Progress) { g.progress.set(p, pr) },
	}
	if g.plan.Table != nil {
		c.TableTopic = g.plan.Table.Topic
	}
	for _, in := range g.plan.Inputs {
		if in.Kind == topology.JoinInput {
			c.JoinTopics = append(c.JoinTopics, in.Topic)
		}
	}
	return c
}

// storeName is the name of a task's store.
func (g *group) storeName(p int32) string { return fmt.Sprintf("%s/%d", g.plan.Group, p) }

// deleteRetention is the smallest of the logs that a store is a copy of.
func (g *group) deleteRetention() time.Duration {
	least := 24 * time.Hour // the broker's default
	first := true
	for _, v := range g.retention {
		ms, err := strconv.ParseInt(v, 10, 64)
		if d := time.Duration(ms) * time.Millisecond; err == nil && (first || d < least) {
			least, first = d, false
		}
	}
	return least
}

// place makes the task and finds the start of inputs that have no committed
// position.
func (g *group) place(ctx context.Context, s *changelog.State, p int32, k *known) (*task.Task, error) {
	ends, err := g.inputEnds(ctx, p, k)
	if err != nil {
		return nil, err
	}
	start, err := g.starts(ctx, s, p, ends, k)
	if err != nil {
		return nil, err
	}
	core, err := task.New(task.Config{
		Plan: g.plan, Partition: p, Cluster: g.engine.o.Cluster.ID(), State: s, Start: start, Mute: g.mute(p),
		Lookups: g.taskLookups(), MaxRecord: g.maxRecord, Context: g.engine.ctx,
	})
	if err != nil {
		return nil, err
	}
	return core, g.check(core, s.Positions(), ends)
}

func (g *group) inputEnds(ctx context.Context, p int32, k *known) (map[record.Partition]record.Ends, error) {
	parts := make([]record.Partition, 0, len(g.plan.Inputs))
	for _, in := range g.plan.Inputs {
		parts = append(parts, record.Partition{Topic: in.Topic, Partition: p})
	}
	if k != nil && g.engine.o.Archive == nil {
		return k.ends, nil
	}
	return g.source.Ends(ctx, parts...)
}

// starts returns where inputs without a committed position begin. A task that has
// none at all is new, or was goka's: then the group's committed offsets tell.
func (g *group) starts(ctx context.Context, s *changelog.State, p int32, ends map[record.Partition]record.Ends, k *known) (map[string]int64, error) {
	out := map[string]int64{}
	for _, in := range g.plan.Inputs {
		part := record.Partition{Topic: in.Topic, Partition: p}
		out[in.Topic] = ends[part].Start
		if g.plan.Start == topology.Latest && in.Kind == topology.StreamInput {
			out[in.Topic] = ends[part].HighWatermark
		}
	}
	for _, pos := range s.JoinPositions() {
		out[pos.Topic] = pos.Offset
	}
	committed, err := g.committed(ctx, k)
	if err != nil {
		return nil, err
	}
	if s.Positions() != nil {
		return out, g.alone(s.Positions(), committed)
	}
	return out, g.adopt(s, p, out, committed)
}

// committed returns the group's committed offsets.
func (g *group) committed(ctx context.Context, k *known) (map[record.Partition]int64, error) {
	if k != nil {
		return k.committed, nil
	}
	return g.engine.o.Cluster.Committed(ctx, g.plan.Group, g.inputTopics()...)
}

// alone refuses positions that the group's committed offsets have left behind: a
// commit of ours moves both, so somebody else has moved the offsets, most likely a
// goka program, and its table with them.
func (g *group) alone(positions *changelog.Positions, committed map[record.Partition]int64) error {
	for _, pos := range positions.Inputs {
		if next, ok := committed[pos.Of()]; ok && next > pos.Offset && !g.joins(pos.Topic) {
			return fmt.Errorf("%w: %s stands at %d in %s, the group's committed offset is %d; to go on from there with the table as it is, delete %s",
				ErrForeign, pos.Of(), pos.Offset, g.plan.StateTopic, next, g.plan.StateTopic)
		}
	}
	return nil
}

// joins reports whether a topic is read as a table.
func (g *group) joins(topic string) bool {
	return slices.ContainsFunc(g.plan.Inputs, func(in topology.InputPlan) bool {
		return in.Topic == topic && in.Kind == topology.JoinInput
	})
}

// adopt takes over the offsets of a stopped goka group.
func (g *group) adopt(s *changelog.State, p int32, start map[string]int64, committed map[record.Partition]int64) error {
	var adopted []string
	for _, in := range g.plan.Inputs {
		if next, ok := committed[record.Partition{Topic: in.Topic, Partition: p}]; ok && in.Kind != topology.JoinInput {
			start[in.Topic] = next
			adopted = append(adopted, fmt.Sprintf("%s@%d", in.Topic, next))
		}
	}
	if len(adopted) > 0 {
		g.log.Info("adopted the offsets and the table of a stopped group", "task", p, "from", strings.Join(adopted, " "))
		return nil
	}
	if g.plan.Table == nil {
		return nil
	}
	some, err := hasState(s.Table)
	if err != nil || !some {
		return err
	}
	return fmt.Errorf("%w: %s has state, group %s has neither positions in %s nor committed offsets; commit offsets for the group (from where the table was written), or delete %s to start anew",
		ErrNoPositions, g.plan.Table.Topic, g.plan.Group, g.plan.StateTopic, g.plan.Table.Topic)
}

func hasState(t *state.Table) (bool, error) {
	it, err := t.Scan(state.Prefix(state.TableKey(nil, nil)))
	if err != nil {
		return false, err
	}
	some := it.Next()
	return some, it.Close()
}

// check holds the committed positions against the logs that they point into.
func (g *group) check(core *task.Task, committed *changelog.Positions, ends map[record.Partition]record.Ends) error {
	if committed != nil && committed.Cluster != g.engine.o.Cluster.ID() {
		return fmt.Errorf("%w: %s, this one is %s; point --brokers at the cluster that the group ran on", ErrOtherCluster, committed.Cluster, g.engine.o.Cluster.ID())
	}
	for _, pos := range core.Positions() {
		end := ends[pos.Of()]
		switch {
		case pos.TopicID.Known() && end.TopicID.Known() && pos.TopicID != end.TopicID:
			return fmt.Errorf("%w: %s was read to offset %d under another topic id; delete the group's table and state topics to start anew, or restore the topic", record.ErrRecreated, pos.Of(), pos.Offset)
		case pos.Offset < end.Start:
			return fmt.Errorf("%w: %s is to go on at %d, the log starts at %d: %d records are gone; raise the topic's retention, or move the group's positions", ErrGap, pos.Of(), pos.Offset, end.Start, end.Start-pos.Offset)
		case pos.Offset > end.HighWatermark:
			return fmt.Errorf("%w: %s is to go on at %d, the log ends at %d: was the topic truncated or recreated?", record.ErrOffsetOutOfRange, pos.Of(), pos.Offset, end.HighWatermark)
		}
		core.SetTopicID(pos.Topic, end.TopicID)
	}
	return nil
}

func (g *group) taskLookups() map[string]task.Lookup {
	out := make(map[string]task.Lookup, len(g.lookups))
	for topic, l := range g.lookups {
		out[topic] = l
	}
	return out
}

// progressBoard holds the progress of the restores under way. Its methods are
// safe for concurrent use.
type progressBoard struct {
	mu sync.Mutex
	m  map[int32]changelog.Progress
}

func (b *progressBoard) set(p int32, pr changelog.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[int32]changelog.Progress{}
	}
	b.m[p] = pr
}

func (b *progressBoard) done(p int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, p)
}

func (b *progressBoard) get(p int32) (changelog.Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pr, ok := b.m[p]
	return pr, ok
}
