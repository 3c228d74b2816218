// Package engine runs topologies on a Kafka cluster, exactly once.
//
// An [Engine] runs one or more groups in this process. Per group there is one
// member of the consumer group, one fetcher, and some workers; a worker is one
// goroutine with one transactional producer and several tasks. The worker's
// protocol is a pure state machine (worker.step: event in, effects out); runners
// bring it events and carry its effects out; the group is its surroundings.
//
// Engine's methods are safe for concurrent use.
package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	live "github.com/seed-73111be4/kappa/sources/kafka"
	"github.com/seed-73111be4/kappa/sources/tiered"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/pebble"
	"github.com/seed-73111be4/kappa/topology"
)

// Engine runs groups until it is stopped or fails.
type Engine struct {
	o        Options
	instance string
	ctx      context.Context // ends when nothing more may be done
	cancel   context.CancelFunc
	run      sync.WaitGroup // runners, pollers, restores, stores
	closers  closers        // states being given up
	db       state.DB
	groups   []*group
	lookups  map[string]Lookup
	aliases  control.Aliases // as of the start
	budget   *archive.Budget // of all that is read ahead from the archive
	finish   *finish         // of a bounded run, nil otherwise
	atEnd    atomic.Bool     // the bounded run has come to its end
	begun    chan struct{}   // closed when Start has done its part

	mu       sync.Mutex // guards err, running, stopping
	err      error
	running  bool // Start has done its part
	stopping bool
	stopped  chan struct{} // closed when everything has ended
}

// drainTime bounds a shutdown that nobody bounds otherwise.
const drainTime = 2 * time.Second

// Start validates and creates topics, initializes the producers, joins the groups
// and returns; tasks are restored and processed in the background. What is wrong
// with topics, permissions or the state directory is named before the first
// record is read.
func Start(ctx context.Context, plans []*topology.Plan, o Options) (*Engine, error) {
	names := make([]string, len(plans))
	for i, p := range plans {
		names[i] = p.Group
	}
	o, err := o.withDefaults(names)
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, stopped: make(chan struct{}), begun: make(chan struct{}), lookups: map[string]Lookup{}}
	e.budget = archive.NewBudget(archive.BudgetConfig{MemoryBytes: o.ArchiveBytes, BytesPerSecond: o.ReplayBytesPerSecond})
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.start(ctx, plans); err != nil {
		e.begin()
		for _, g := range e.groups {
			if g.member != nil {
				g.member.Kill()
			}
		}
		e.release()
		return nil, err
	}
	e.started()
	return e, nil
}

func (e *Engine) start(ctx context.Context, plans []*topology.Plan) error {
	if err := e.prepare(ctx, plans); err != nil {
		return err
	}
	if e.o.Until != nil {
		if err := e.o.Until.check(e.groups, e.o.PauseFailed); err != nil {
			return err
		}
		e.finish = newFinish(e.o.Until, e.groups)
	}
	if err := e.openStores(); err != nil {
		return err
	}
	if err := e.openLookups(ctx); err != nil {
		return err
	}
	for _, g := range e.groups {
		if err := g.startWorkers(ctx); err != nil {
			return err
		}
	}
	for _, g := range e.groups {
		if err := g.join(ctx); err != nil {
			return err
		}
		if g.reset != nil {
			e.run.Go(func() { g.replay.run(e.ctx) })
		}
	}
	e.run.Go(e.watch)
	if e.finish != nil {
		e.run.Go(e.conclude)
	}
	return nil
}

func (e *Engine) openStores() (err error) {
	if e.o.StateDir == "" {
		e.db = state.NewMemory()
		e.instance = instanceOr(e.o.Instance)
		return nil
	}
	db, err := pebble.Open(filepath.Join(e.o.StateDir, "store"), pebble.Options{
		App: e.o.App, CacheBytes: e.o.CacheBytes, Clock: e.o.Clock, Log: e.o.Log,
	})
	if err != nil {
		return fmt.Errorf("state directory %s: %w", e.o.StateDir, err)
	}
	e.db = db
	e.instance, err = keptInstance(e.o.StateDir, e.o.Instance)
	return err
}

// startWorkers initializes the producers of all workers, which ends what an
// earlier life of this instance left open. Only then may the member join.
func (g *group) startWorkers(ctx context.Context) error {
	for id := range min(g.engine.o.Workers, int(g.tasks)) {
		r, err := g.newRunner(id)
		if err != nil {
			return err
		}
		g.runners = append(g.runners, r)
	}
	for _, r := range g.runners {
		g.engine.run.Go(func() { r.run(g.engine.ctx) })
	}
	for _, r := range g.runners {
		select {
		case <-r.ready:
		case <-r.done:
			return g.engine.failure(fmt.Errorf("group %s: worker %d ended before it began", g.plan.Group, r.id))
		case <-ctx.Done():
			return fmt.Errorf("group %s: initialize producers: %w", g.plan.Group, ctx.Err())
		}
	}
	return nil
}

func (g *group) join(ctx context.Context) (err error) {
	o := &g.engine.o
	if err := g.survey(); err != nil {
		return err
	}
	if g.source, err = g.openSource(); err != nil {
		return fmt.Errorf("group %s: %w", g.plan.Group, err)
	}
	if f := g.engine.finish; f != nil {
		g.ends = sources.Bound(g.source)
		g.source = g.ends
		if err := f.begin(ctx, g); err != nil {
			return err
		}
	}
	g.engine.run.Go(func() { g.poll(g.engine.ctx) })
	g.member, err = o.Cluster.Join(ctx, kafka.MemberConfig{
		Group: g.plan.Group, Instance: g.engine.instance, Static: !o.Dynamic,
		Topics: g.subscription(), Shape: g.shape(),
		Standbys: o.Standbys, Fresh: g.fresh,
		SessionTimeout: o.SessionTimeout, RebalanceTimeout: o.RebalanceTimeout,
	}, g)
	if err != nil {
		return fmt.Errorf("group %s: %w", g.plan.Group, err)
	}
	return nil
}

// openSource returns where a group's input comes from.
func (g *group) openSource() (sources.Source, error) {
	e := g.engine
	l, err := live.Open(e.o.Cluster, kafka.FetchConfig{MaxBytes: e.o.fetchLimit()})
	if err != nil || e.o.Archive == nil {
		return l, err
	}
	past := map[string]record.TopicID{}
	for topic, t := range g.past {
		past[topic] = t.id
	}
	return tiered.Open(tiered.Config{Archive: e.o.Archive, Live: l, Cluster: e.o.Cluster, Past: past, Budget: e.budget, Log: g.log}), nil
}

// Wait blocks until the engine has ended and returns why: nil after Stop, the
// first failure otherwise.
func (e *Engine) Wait() error {
	<-e.stopped
	return e.failure(nil)
}

// Stop commits what is open, gives all tasks up and ends; it is idempotent. When
// ctx ends first, the rest is dropped as by a crash, which costs a restart the
// replay of a tail, never a record.
func (e *Engine) Stop(ctx context.Context) error { return e.shutdown(ctx, false) }

// Leave is Stop for good: a static member gives its tasks to the others at once
// instead of after the session timeout.
func (e *Engine) Leave(ctx context.Context) error { return e.shutdown(ctx, true) }

// Kill ends everything as a crash would: no commit, no abort, no flush, no word
// to the group. It is for tests and demonstrations.
func (e *Engine) Kill() {
	if !e.begin() {
		<-e.stopped
		return
	}
	for _, g := range e.groups {
		if g.member != nil {
			g.member.Kill()
		}
	}
	e.release()
	close(e.stopped)
}

// fail notes the first failure and shuts down in the background.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	first := e.err == nil && !e.stopping
	if first {
		e.err = err
	}
	running := e.running
	e.mu.Unlock()
	if !first {
		return
	}
	e.o.Log.Error("engine fails", "err", err)
	if running {
		e.giveUp()
	}
}

// started lets failures shut down from now on; one that came before does at once.
func (e *Engine) started() {
	e.mu.Lock()
	e.running = true
	close(e.begun)
	failed := e.err != nil
	e.mu.Unlock()
	if failed {
		e.giveUp()
	}
}

// giveUp shuts down on a goroutine of its own: not in the run group, which it
// waits for. Wait waits for it.
func (e *Engine) giveUp() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		_ = e.shutdown(ctx, false)
	}()
}

func (e *Engine) failure(or error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return e.err
	}
	return or
}

func (e *Engine) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !e.stopping
	e.stopping = true
	return first
}

func (e *Engine) shutdown(ctx context.Context, leave bool) error {
	if !e.begin() {
		select {
		case <-e.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := e.drain(ctx)
	for _, g := range e.groups {
		g.replay.finish(ctx)
		if g.member != nil {
			g.member.Close(ctx, leave)
		}
	}
	e.release()
	close(e.stopped)
	return err
}

// drain lets every worker commit and give its tasks up.
func (e *Engine) drain(ctx context.Context) error {
	for _, g := range e.groups {
		for _, r := range g.runners {
			r.post(evDrain{})
		}
	}
	for _, g := range e.groups {
		g.endStandbys(ctx)
	}
	for _, g := range e.groups {
		for _, r := range g.runners {
			select {
			case <-r.done:
			case <-ctx.Done():
				return fmt.Errorf("stop: worker %d of group %s did not reach a transaction boundary in time; what was open is done again after a restart", r.id, g.plan.Group)
			}
		}
	}
	return e.closers.wait(ctx)
}

func waitFor(ctx context.Context, w *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { w.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release ends all goroutines and closes all clients and stores. A callback that
// does not return keeps its worker, and the stores stay open for it.
func (e *Engine) release() {
	e.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	clients := e.closeClients()
	if err := errors.Join(waitFor(ctx, &e.run), e.closers.wait(ctx)); err != nil {
		e.o.Log.Error("a callback does not return; its worker is left behind")
		return
	}
	for _, l := range e.lookups {
		if err := l.Close(); err != nil {
			e.o.Log.Warn("close lookup table", "err", err)
		}
	}
	if e.db != nil {
		if err := e.db.Close(); err != nil {
			e.o.Log.Warn("close state", "err", err)
		}
	}
	_ = waitFor(ctx, clients) // a client that waits for a frozen broker ends by itself
}

// closeClients closes all clients at a time: each may wait for its broker.
func (e *Engine) closeClients() *sync.WaitGroup {
	all := new(sync.WaitGroup)
	for _, g := range e.groups {
		if g.source != nil {
			all.Go(g.source.Close)
		}
		for _, r := range g.runners {
			all.Go(r.producer.Close)
		}
	}
	return all
}

// Instance returns the name under which this process is a member.
func (e *Engine) Instance() string { return e.instance }
