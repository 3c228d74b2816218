package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// standbys are a group's copies, in this process, of tasks that other members
// process. Each has a goroutine that follows the task's logs; the store is open once
// at a time, so a standby ends before the task is restored here, and begins when it
// has been given up. The group's mu guards the fields.
type standbys struct {
	wanted  []int32 // by the group's leader
	running map[int32]*standby
	reach   map[int32]int64 // how far the local store of a task goes, where nobody has it open
	ended   bool            // no more begin

	turns   chan struct{} // one restores at a time: those of owned tasks go first
	records atomic.Int64  // taken from the logs
}

func newStandbys() standbys {
	return standbys{running: map[int32]*standby{}, reach: map[int32]int64{}, turns: make(chan struct{}, 1)}
}

// standby is one copy and the goroutine that owns it.
type standby struct {
	g    *group
	task int32
	open *openTask
	at   atomic.Int64 // how far the copy goes, 0 until it is restored
}

// survey learns what copies an earlier life of the process has left. It runs before
// the group is joined, when no store is open.
func (g *group) survey() error {
	names, err := g.engine.db.Names()
	if err != nil {
		return fmt.Errorf("group %s: list stores: %w", g.plan.Group, err)
	}
	for task := range g.tasks {
		name := g.storeName(task)
		if !slices.Contains(names, name) {
			continue
		}
		logs, err := changelog.Stored(g.engine.db, name)
		if err != nil {
			return fmt.Errorf("group %s: %w", g.plan.Group, err)
		}
		if len(logs) > 0 {
			g.standbys.reach[task] = changelog.Reach(logs)
		}
	}
	return nil
}

// fresh says how far the copies of tasks go that this process does not own.
func (g *group) fresh() map[int32]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	fresh := maps.Clone(g.standbys.reach)
	for task, s := range g.standbys.running {
		fresh[task] = max(fresh[task], s.at.Load())
	}
	for task := range g.owner {
		delete(fresh, task)
	}
	return fresh
}

// Follow is called by the member: these are the tasks to follow from now on.
func (g *group) Follow(tasks []int32) {
	g.log.Info("follows", "tasks", len(tasks))
	g.mu.Lock()
	g.standbys.wanted = tasks
	g.mu.Unlock()
	g.adjust()
}

// adjust ends standbys that are not wanted or owned, and begins those that are
// missing. It is called whenever one or the other has changed.
func (g *group) adjust() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.standbys.ended || g.engine.ctx.Err() != nil {
		return
	}
	for task, s := range g.standbys.running {
		if g.owner[task] != nil || !slices.Contains(g.standbys.wanted, task) {
			s.open.cancel()
		}
	}
	for _, task := range g.standbys.wanted {
		if g.owner[task] == nil && g.standbys.running[task] == nil && task < g.tasks {
			g.beginStandby(task)
		}
	}
}

// beginStandby makes the standby the last to open the task's store; mu is held.
func (g *group) beginStandby(task int32) {
	ctx, cancel := context.WithCancel(g.engine.ctx)
	s := &standby{g: g, task: task, open: &openTask{cancel: cancel, done: make(chan struct{})}}
	before := g.opens[task]
	g.opens[task], g.standbys.running[task] = s.open, s
	g.engine.run.Go(func() {
		if before != nil {
			select {
			case <-before.done:
			case <-g.engine.ctx.Done():
			}
		}
		s.run(ctx)
		cancel()
		g.mu.Lock()
		delete(g.standbys.running, task)
		g.mu.Unlock()
		close(s.open.done)
		g.adjust() // it may be wanted again
	})
}

// endStandbys ends them all and waits: a stop leaves copies that are up to date.
func (g *group) endStandbys(ctx context.Context) {
	g.mu.Lock()
	g.standbys.ended = true
	running := slices.Collect(maps.Values(g.standbys.running))
	g.mu.Unlock()
	for _, s := range running {
		s.open.cancel()
	}
	for _, s := range running {
		select {
		case <-s.open.done:
		case <-ctx.Done():
			return
		}
	}
}

// run keeps the copy up to date until ctx ends.
func (s *standby) run(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		s.g.log.Warn("standby has to begin again", "task", s.task, "err", err)
		pause(ctx, backoff(n))
	}
}

func (s *standby) follow(ctx context.Context) error {
	st, err := s.restore(ctx)
	if err != nil {
		return err
	}
	s.at.Store(changelog.Reach(st.LogPositions()))
	defer s.close(st)
	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	news := make(chan logNews)
	for _, p := range st.LogPositions() {
		readers.Go(func() { s.read(reading, p, news) })
	}
	return s.take(ctx, st, news)
}

func (s *standby) restore(ctx context.Context) (*changelog.State, error) {
	select {
	case s.g.standbys.turns <- struct{}{}:
		defer func() { <-s.g.standbys.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := s.g.changelogConfig(s.task)
	c.OnProgress = nil
	return changelog.Restore(ctx, c)
}

// logNews is what a reader of one log hands on.
type logNews struct {
	topic string
	batch record.Batch
	err   error
}

// read hands on what a log holds from a position on.
func (s *standby) read(ctx context.Context, from record.Position, news chan<- logNews) {
	log := s.g.engine.o.Cluster.Open(from.Of(), from.Offset)
	defer log.Close()
	for {
		b, err := log.Next(ctx)
		select {
		case news <- logNews{from.Topic, b, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// syncCheck is how often a standby asks whether to write its copy to disk.
const syncCheck = time.Second

func (s *standby) take(ctx context.Context, st *changelog.State, news <-chan logNews) error {
	tick := time.NewTicker(syncCheck)
	defer tick.Stop()
	for {
		select {
		case n := <-news:
			if n.err != nil {
				return n.err
			}
			if err := st.Take(n.topic, &n.batch); err != nil {
				return err
			}
			s.g.standbys.records.Add(int64(len(n.batch.Records)))
		case <-tick.C:
			if !st.SyncDue(s.g.engine.o.Clock()) {
				continue
			}
			if err := st.Sync(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		s.at.Store(changelog.Reach(st.LogPositions()))
	}
}

// close writes the copy to disk where that is quick, and gives the store back.
func (s *standby) close(st *changelog.State) {
	_, dirty := st.Table.Unflushed()
	flush := dirty <= closeBytes && s.g.engine.ctx.Err() == nil
	if err := st.Close(flush); err != nil {
		s.g.log.Warn("close standby", "task", s.task, "err", err)
		return
	}
	if flush {
		s.g.left(s.task, s.at.Load())
	}
}

// left notes how far a store goes that has been given back.
func (g *group) left(task int32, reach int64) {
	g.mu.Lock()
	g.standbys.reach[task] = reach
	g.mu.Unlock()
}
