package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// ErrGrown says that an input has more partitions than the group's table: its
// keys no longer fall on the partitions that hold their state.
var ErrGrown = errors.New("an input's partition count grew")

// group runs one group's share of this process: one member, one fetcher, some
// workers. It is the host of its runners and the listener of its member.
//
// Goroutines: a runner per worker, one that polls, and short-lived ones for
// restores, stores and purges; all in the engine's run group.
type group struct {
	engine     *Engine
	plan       *topology.Plan // with the topics of the present generation
	reset      *control.Reset // the last one, nil where there was none
	log        *slog.Logger
	partitions map[string]int32 // of every topic of the plan
	maxRecord  map[string]int
	maxBatch   int32 // what every topic of the group takes: its producers batch by it
	tasks      int32
	past       map[string]pastTopic // inputs that Kafka does not know and the archive has
	retention  map[string]string    // delete.retention.ms of the logs that stores are copies of
	lookups    map[string]Lookup
	source     sources.Source
	ends       *sources.Bounded // the source, of a bounded run
	member     *kafka.Member
	runners    []*runner
	epoch      atomic.Uint64
	joined     atomic.Bool
	progress   progressBoard
	counters   counters
	replay     replay // after a reset

	mu        sync.Mutex    // guards what follows
	confirmed *confirmation // since the last rebalance, nil before the first
	owner     map[int32]*runner
	high      map[record.Partition]int64 // high watermarks as fetched
	opens     map[int32]*openTask        // the last that opened, or opens, a task's store
	states    map[*changelog.State]*openTask
	restores  chan struct{} // limits restores at a time
	lot       *lot          // that takes restores in
	standbys  standbys
}

// counters are what the group counts beside its workers.
type counters struct {
	replayed, wipes, restores, purged atomic.Int64
}

func (g *group) newRunner(id int) (*runner, error) {
	o := &g.engine.o
	p, err := o.Cluster.NewProducer(kafka.ProducerConfig{
		TransactionalID: fmt.Sprintf("%s.%s.%d", g.plan.Group, g.engine.instance, id),
		Timeout:         o.TransactionTimeout,
		Compression:     o.Compression,
		Linger:          linger(o.CommitInterval),
		MaxBatchBytes:   g.maxBatch, MaxBufferedBytes: int(o.outputBytes),
	})
	if err != nil {
		return nil, fmt.Errorf("group %s: worker %d: %w", g.plan.Group, id, err)
	}
	r := &runner{
		id: id, producer: p, host: g, box: newMailbox(), clock: o.Clock, log: g.log,
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	r.worker = newWorker(workerConfig{
		plan: g.plan, commitInterval: o.CommitInterval, batchBytes: o.BatchBytes, overlayBytes: o.OverlayBytes,
		txnTimeout: o.TransactionTimeout, fenceWait: 2 * o.SessionTimeout, partitions: g.partitions,
		past:    g.pastTopics(),
		produce: p.Produce, nextEpoch: func() uint64 { return g.epoch.Add(1) },
	})
	return r, nil
}

// linger is how long what is emitted waits for more. It costs no time: the commit does
// not wait for it. Batches are fewer, and the first one comes when the brokers have
// ended the transaction before; they would put it off by 20 ms otherwise.
func linger(commit time.Duration) time.Duration { return min(commit/4, 10*time.Millisecond) }

// ---- kafka.Listener: called from the member's goroutine, one call at a time

// Assigned hands every worker the new fence and its share of the new tasks.
func (g *group) Assigned(f kafka.Fence, added []kafka.TaskTopics) {
	for _, t := range added {
		if t.Task >= g.tasks {
			g.fail(fmt.Errorf("group %s: %w: task %d, but its tables have %d partitions, so keys would leave their state; copy the input into a topic of %d partitions, or start a new group",
				g.plan.Group, ErrGrown, t.Task, g.tasks, g.tasks))
			return
		}
	}
	shares := g.share(added)
	level := slog.LevelInfo
	if len(added) == 0 {
		level = slog.LevelDebug
	}
	if len(added) > 0 {
		g.confirm()
	}
	g.log.Log(g.engine.ctx, level, "assigned", "generation", f.Generation, "added", len(added))
	for _, r := range g.runners {
		r.post(evAssigned{f, shares[r]})
	}
	g.joined.Store(true)
	g.adjust()
}

// share gives each task to the worker that has it, else to the one with fewest.
func (g *group) share(added []kafka.TaskTopics) map[*runner][]kafka.TaskTopics {
	g.mu.Lock()
	defer g.mu.Unlock()
	load := map[*runner]int{}
	for _, r := range g.owner {
		load[r]++
	}
	out := map[*runner][]kafka.TaskTopics{}
	for _, t := range added {
		r := g.owner[t.Task]
		if r == nil {
			r = slices.MinFunc(g.runners, func(a, b *runner) int { return load[a] - load[b] })
			g.owner[t.Task] = r
			load[r]++
		}
		t.Topics = append(slices.Clone(t.Topics), g.pastTopics()...)
		out[r] = append(out[r], t)
	}
	return out
}

// Revoked blocks until every worker has reached a transaction boundary and given
// the tasks up.
func (g *group) Revoked(ctx context.Context, tasks []kafka.TaskTopics) {
	if len(tasks) == 0 {
		return
	}
	g.log.Info("revoked", "tasks", len(tasks))
	var wait sync.WaitGroup
	for r, ps := range g.disown(tasks) {
		wait.Add(1)
		r.post(evRevoked{ps, sync.OnceFunc(wait.Done)})
	}
	handed := make(chan struct{})
	g.engine.run.Go(func() { wait.Wait(); close(handed) })
	select {
	case <-handed:
	case <-ctx.Done():
	case <-g.engine.ctx.Done():
	}
	g.adjust()
}

// Lost tells the workers that tasks have gone.
func (g *group) Lost(tasks []kafka.TaskTopics) {
	if len(tasks) == 0 {
		return
	}
	g.log.Warn("lost", "tasks", len(tasks))
	for r, ps := range g.disown(tasks) {
		r.post(evLost{ps})
	}
	g.adjust()
}

// Failed stops the engine: without a member the group's tasks belong to others.
func (g *group) Failed(err error) { g.fail(fmt.Errorf("group %s: %w", g.plan.Group, err)) }

func (g *group) disown(tasks []kafka.TaskTopics) map[*runner][]int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[*runner][]int32{}
	for _, t := range tasks {
		if r := g.owner[t.Task]; r != nil {
			out[r] = append(out[r], t.Task)
			delete(g.owner, t.Task)
		}
	}
	return out
}

// ---- host

func (g *group) seek(s []sources.Seek)     { g.source.Seek(s...) }
func (g *group) stop(p []record.Partition) { g.source.Stop(p...) }
func (g *group) fail(err error)            { g.engine.fail(err) }

// taskFailed stops the engine, or leaves the task standing where the options say
// so: it keeps its place in the group, is named by Ready and by the metrics, and
// goes on after a restart.
func (g *group) taskFailed(partition int32, err error) {
	g.log.Error("task failed", "task", partition, "err", err)
	if !g.engine.o.PauseFailed {
		g.fail(fmt.Errorf("group %s: task %d stopped: %w", g.plan.Group, partition, err))
	}
}

// abandon ends a restore that nobody waits for any more.
func (g *group) abandon(e doAbandon) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o := g.opens[e.partition]; o != nil && o.epoch == e.epoch {
		o.cancel()
	}
}

// purge deletes records of the group's own loop, which nobody else may read.
func (g *group) purge(before map[record.Partition]int64) {
	g.engine.run.Go(func() {
		if err := g.engine.o.Cluster.DeleteRecords(g.engine.ctx, before); err != nil {
			if g.engine.ctx.Err() == nil {
				g.log.Warn("purge loop", "err", err)
			}
			return
		}
		g.counters.purged.Add(1)
	})
}

// ---- fetching

// poll moves fetched records to the workers until ctx ends.
func (g *group) poll(ctx context.Context) {
	for ctx.Err() == nil {
		fetched, err := g.source.Poll(ctx)
		if err != nil {
			if ctx.Err() == nil {
				g.fail(fmt.Errorf("group %s: fetch: %w", g.plan.Group, err))
			}
			return
		}
		for i := range fetched {
			g.deliver(&fetched[i])
		}
	}
}

func (g *group) deliver(f *sources.Fetched) {
	g.mu.Lock()
	r := g.owner[f.Partition.Partition]
	if f.Err == nil && f.HighWatermark >= 0 {
		g.high[f.Partition] = f.HighWatermark
	}
	g.mu.Unlock()
	switch {
	case r == nil:
		f.Release()
	case errors.Is(f.Err, sources.ErrEnd):
		r.post(evInputEnd{f.Partition, f.Epoch})
	case f.Err != nil:
		f.Release()
		r.post(evInputError{f.Partition, f.Epoch, f.Err})
	default:
		g.queue(r, *f)
	}
}

// queue hands records to a worker and pauses its partitions where it has enough.
func (g *group) queue(r *runner, f sources.Fetched) {
	var bytes int64
	for i := range f.Records {
		bytes += recordBytes + int64(len(f.Records[i].Key)+len(f.Records[i].Value))
	}
	limit := g.engine.o.QueueBytes
	r.queued.add(bytes, limit, func(again bool) {
		if again { // it was sought after the others had been paused
			g.source.Pause(f.Partition)
			return
		}
		g.source.Pause(g.partitionsOf(r)...)
	})
	release := func() {
		f.Release()
		r.queued.remove(bytes, limit/2, func() { g.source.Resume(g.partitionsOf(r)...) })
	}
	r.post(&evBatch{part: f.Partition, epoch: f.Epoch, records: f.Records, next: f.Next, bytes: bytes, release: release})
}

// recordBytes is what a record costs in memory beside its key and value.
const recordBytes = 96

func (g *group) partitionsOf(r *runner) []record.Partition {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []record.Partition
	for _, p := range slices.Sorted(maps.Keys(g.owner)) {
		if g.owner[p] == r {
			out = append(out, r.worker.inputs(p)...)
		}
	}
	return out
}
