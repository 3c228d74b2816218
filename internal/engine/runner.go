package engine

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// producer is the transactional producer of one worker, as *kafka.Producer is.
type producer interface {
	Init(context.Context) kafka.Result
	Produce(*kafka.Out)
	Flush(context.Context) ([]record.Position, kafka.Result)
	CommitOffsets(context.Context, kafka.Fence, []record.Position) kafka.Result
	End(context.Context, bool) kafka.Result
	Rebuild() error
	Close()
}

// host is what a runner needs of the group that it works for.
type host interface {
	restore(r *runner, e doRestore)
	seek([]sources.Seek)
	stop([]record.Partition)
	store(r *runner, e doStore)
	closeState(e doClose)
	abandon(doAbandon)
	purge(map[record.Partition]int64)
	taskFailed(partition int32, err error)
	fail(error)
}

// runner is a worker's goroutine: it brings the worker events and carries out its
// effects. Nobody else touches the worker.
type runner struct {
	id       int
	worker   *worker
	producer producer
	host     host
	box      *mailbox
	clock    state.Clock
	log      *slog.Logger

	ready  chan struct{} // closed once the producer is initialized
	done   chan struct{} // closed once the worker has stopped
	queued queued

	snapshot  atomic.Pointer[snapshot]
	published time.Time
	stale     bool // there is something that the snapshot does not show
}

// run drives the worker until it stops or ctx ends. When ctx ends nothing more is
// committed or aborted: it is as a crash.
func (r *runner) run(ctx context.Context) {
	defer close(r.done)
	defer r.refuse()
	r.apply(ctx, r.worker.start())
	for ctx.Err() == nil && !r.worker.stopped {
		ev, ok := r.next(ctx)
		if !ok {
			return
		}
		r.apply(ctx, r.worker.step(r.clock(), ev))
		r.publish()
	}
	r.published = time.Time{}
	r.publish()
}

// next returns the next event, a tick where there is work or time has passed.
func (r *runner) next(ctx context.Context) (event, bool) {
	if ev, ok := r.box.take(); ok {
		return ev, true
	}
	now := r.clock()
	if r.worker.busy(now) {
		return evTick{}, true
	}
	timer := time.NewTimer(r.wake(now))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, false
	case <-timer.C:
		return evTick{}, true
	case <-r.box.signal:
		if ev, ok := r.box.take(); ok {
			return ev, true
		}
		return evTick{}, true
	}
}

// wake is how long the worker may sleep: who looks must not wait for the next record to
// see what was done.
func (r *runner) wake(now time.Time) time.Duration {
	sleep := r.worker.wake(now).Sub(now)
	if r.stale {
		sleep = min(sleep, r.published.Add(publishEvery).Sub(now))
	}
	return sleep
}

// apply carries out effects. An effect with an outcome is the last of its step;
// its answer is the next event.
func (r *runner) apply(ctx context.Context, effects []effect) {
	for len(effects) > 0 {
		var answer event
		for _, e := range effects {
			if a := r.carryOut(ctx, e); a != nil {
				answer = a
			}
		}
		if answer == nil || ctx.Err() != nil {
			return
		}
		effects = r.worker.step(r.clock(), answer)
	}
}

func (r *runner) carryOut(ctx context.Context, e effect) event {
	switch e := e.(type) {
	case doInit:
		if !pause(ctx, e.wait) {
			return nil
		}
		return evInit{r.producer.Init(ctx)}
	case doRebuild:
		if !pause(ctx, e.wait) {
			return nil
		}
		return evRebuilt{r.producer.Rebuild()}
	case doFlush:
		acks, res := r.producer.Flush(ctx)
		return evFlushed{acks, res}
	case doOffsets:
		return evOffsets{r.producer.CommitOffsets(ctx, e.fence, e.positions)}
	case doEnd:
		return evEnded{r.producer.End(ctx, e.commit)}
	default:
		r.inform(e)
		return nil
	}
}

// inform carries out effects that have no outcome.
func (r *runner) inform(e effect) {
	switch e := e.(type) {
	case doReady:
		close(r.ready)
	case doRestore:
		r.host.restore(r, e)
	case doSeek:
		r.host.seek(e.seeks)
	case doStop:
		r.host.stop(e.parts)
	case doStore:
		r.host.store(r, e)
	case doClose:
		r.host.closeState(e)
	case doAbandon:
		r.host.abandon(e)
	case doPurge:
		r.host.purge(e.before)
	case doCall:
		e.fn()
	case doTaskFailed:
		r.host.taskFailed(e.partition, e.err)
	case doNote:
		r.log.Warn("transaction does not commit", "worker", r.id, "outcome", e.Outcome.String(), "err", e.Err)
	case doWarnPlace:
		r.log.Warn("a key is not in the partition that the group's hasher chooses: joins, loops and lookups by this group would miss it",
			"topic", e.part.Topic, "partition", e.part.Partition, "key", e.key, "hasher", r.worker.cfg.plan.Hasher.Name, "chooses", e.want,
			"hint", "name the hasher of the topic's producer with topology.WithHasher: fnv1a for goka, murmur2 for Java and franz-go")
	case doFatal:
		r.host.fail(e.err)
	case doStopped:
	}
	r.published = time.Time{} // what changed is worth a look
}

// refuse answers what was not taken: nobody must wait for a worker that is gone.
func (r *runner) refuse() {
	for _, v := range r.worker.visits {
		v.done(v.committed.keys, ErrVisitAborted)
	}
	for _, ev := range append(r.worker.control, r.box.close()...) {
		r.refused(ev)
	}
}

func (r *runner) refused(ev event) {
	switch e := ev.(type) {
	case evRevoked:
		e.done()
	case evVisit:
		e.done(0, ErrVisitAborted)
	case *evBatch:
		e.release()
	case evRestored:
		if e.core != nil {
			r.host.closeState(doClose{e.partition, e.core.State(), false})
		}
	case evStored: // of a state that was given up, or left by a crash
		e.state.EndFlush(e.flush, e.err)
		r.host.closeState(doClose{e.partition, e.state, false})
	}
}

// post hands the worker an event, or answers it where the worker has stopped.
func (r *runner) post(ev event) {
	if !r.box.post(ev) {
		r.refused(ev)
	}
}

// pause waits, and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// snapshot is what the outside sees of a worker.
type snapshot struct {
	figures figures
	tasks   []TaskStats
	next    map[record.Partition]int64
}

// publishEvery bounds how old the figures are that others see.
const publishEvery = 100 * time.Millisecond

// publish makes the worker's figures visible to Stats.
func (r *runner) publish() {
	t := r.clock()
	if t.Sub(r.published) < publishEvery {
		r.stale = true
		return
	}
	r.published, r.stale = t, false
	s := &snapshot{figures: r.worker.figures.clone(), next: map[record.Partition]int64{}}
	for _, p := range r.worker.order {
		s.tasks = append(s.tasks, taskStats(r.worker.task(p), s.next))
	}
	r.snapshot.Store(s)
}

func taskStats(h *held, next map[record.Partition]int64) TaskStats {
	t := TaskStats{Partition: h.partition, Phase: h.phase}
	if h.err != nil {
		t.Error = h.err.Error()
	}
	if h.core == nil {
		return t
	}
	t.Counts = h.core.Committed()
	for _, p := range h.core.Positions() {
		next[p.Of()] = p.Offset
	}
	fillState(&t, h.core.State())
	return t
}

func fillState(t *TaskStats, s *changelog.State) {
	stats := s.Table.Stats()
	t.StateKeys, t.StateBytes = int64(stats.Cells), stats.Bytes
	_, t.DirtyBytes = s.Table.Unflushed()
}
