package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// simOpen is a task's state while somebody has it open or is opening it.
type simOpen struct {
	epoch           uint64
	cancelled, done bool
}

// restore opens a task's state in the background, as group.restore does.
func (p *simProcess) restore(r *simRunner, e doRestore) {
	p.w.checkInitialized(r)
	if p.owner[e.partition] != r && !p.w.mutant.anyoneRestores { // lost meanwhile, which r is about to hear
		return
	}
	mine, before := &simOpen{epoch: e.epoch}, p.opens[e.partition]
	p.opens[e.partition] = mine
	if before != nil {
		before.cancelled = true
	}
	p.spawn(fmt.Sprintf("%s restore %d", p, e.partition), &p.w.faults.restores, func(c *coro) {
		if before != nil && !before.done && !c.pause(func() bool { return before.done }) {
			return
		}
		core, err := p.openPatiently(c, mine, e)
		if c.killed {
			return
		}
		p.w.count("restores")
		if err != nil {
			mine.done = true
			if mine.cancelled && p.opens[e.partition] != mine {
				return
			}
		}
		if core != nil {
			p.states[core.State()] = mine
		}
		p.w.say("%s: task %d is restored: %v", r, e.partition, err)
		r.post(evRestored{e.partition, e.epoch, core, err})
	})
}

// openPatiently tries until the brokers answer.
func (p *simProcess) openPatiently(c *coro, o *simOpen, e doRestore) (*task.Task, error) {
	for n := 1; ; n++ {
		core, err := p.open(c, o, e)
		if !errors.Is(err, errNoAnswer) {
			return core, err
		}
		p.w.say("%s has to wait: %v", c.name, err)
		at := p.w.now.Add(backoff(n))
		if !c.pause(func() bool { p.w.wake(at); return o.cancelled || !p.w.now.Before(at) }) || o.cancelled {
			return nil, errKilled
		}
	}
}

func (p *simProcess) open(c *coro, o *simOpen, e doRestore) (*task.Task, error) {
	logs := &simLogs{p: p, c: c, o: o}
	s, err := changelog.Restore(context.Background(), p.changelogConfig(e.partition, logs))
	if err != nil {
		return nil, err
	}
	if s.Wiped() != "" {
		p.w.count("wipes")
	}
	core, err := p.place(s, e.partition, logs)
	if err != nil {
		return nil, errors.Join(err, s.Close(false))
	}
	return core, nil
}

func (p *simProcess) changelogConfig(partition int32, logs record.LogSource) changelog.Config {
	f := &p.w.faults
	retention := f.retention
	if p.w.mutant.keepOld {
		retention = 0
	}
	return changelog.Config{
		Store: fmt.Sprintf("sim/%d", partition), DB: p.db, Cluster: simCluster, Partition: partition,
		TableTopic: simPlan.Table.Topic, StateTopic: simPlan.StateTopic, JoinTopics: []string{simUsers},
		DeleteRetention: retention, Clock: p.clock, Logs: logs,
		Flush: changelog.FlushOptions{Age: f.flushAge, Bytes: f.flushBytes},
	}
}

// place makes the task, as group.place does.
func (p *simProcess) place(s *changelog.State, partition int32, logs *simLogs) (*task.Task, error) {
	start := map[string]int64{}
	for _, pos := range s.JoinPositions() {
		start[pos.Topic] = pos.Offset
	}
	if s.Positions() == nil {
		if err := p.adopt(partition, start, logs); err != nil {
			return nil, err
		}
	}
	core, err := task.New(task.Config{Plan: simPlan, Partition: partition, Cluster: simCluster, State: s, Start: start})
	if err != nil {
		return nil, err
	}
	for _, pos := range core.Positions() {
		end, err := logs.Ends(context.Background(), pos.Of())
		if err != nil {
			return nil, err
		}
		if pos.Offset > end.HighWatermark {
			return nil, fmt.Errorf("%v is beyond the log's end at %d", pos, end.HighWatermark)
		}
		core.SetTopicID(pos.Topic, end.TopicID)
	}
	return core, nil
}

// adopt starts a task without positions at the group's offsets.
func (p *simProcess) adopt(partition int32, start map[string]int64, logs *simLogs) error {
	b := p.w.broker
	if !logs.c.pause(func() bool { return !b.unstable(partition) || logs.o.cancelled }) || logs.o.cancelled {
		return errKilled
	}
	for _, in := range simPlan.Inputs {
		if next, ok := b.offsets[record.Partition{Topic: in.Topic, Partition: partition}]; ok && in.Kind != topology.JoinInput {
			start[in.Topic] = next
		}
	}
	return nil
}

// closeState gives a store back in the background.
func (p *simProcess) closeState(e doClose) {
	mine := p.states[e.state]
	delete(p.states, e.state)
	if mine == nil {
		p.w.violate("%s: the state of task %d is closed twice", p, e.partition)
		return
	}
	p.spawn(fmt.Sprintf("%s close %d", p, e.partition), &p.w.faults.stores, func(c *coro) {
		err := e.state.Close(e.flush)
		if c.killed {
			return
		}
		p.w.say("%s: state of task %d is closed: %v", p, e.partition, err)
		if err != nil && !errors.Is(err, errDisk) {
			p.w.violate("%s: close task %d: %v", p, e.partition, err)
		}
		mine.done = true
	})
}

// store writes committed state to disk in the background.
func (p *simProcess) store(r *simRunner, e doStore) {
	p.spawn(fmt.Sprintf("%s store %d", p, e.partition), &p.w.faults.stores, func(c *coro) {
		err := e.flush.Run()
		if !c.killed {
			r.post(evStored{e.partition, e.state, e.flush, err})
		}
	})
}

// simLogs is the cluster as a restore sees it.
type simLogs struct {
	p *simProcess
	c *coro
	o *simOpen
}

func (l *simLog) limits() record.Ends {
	return record.Ends{TopicID: topicID(l.part.Topic), LastStable: l.stable(), HighWatermark: l.high}
}

func (s *simLogs) Ends(_ context.Context, p record.Partition) (record.Ends, error) {
	if !s.c.pause(nil) || s.o.cancelled {
		return record.Ends{}, errKilled
	}
	if s.p.w.chance(s.p.w.faults.unread) {
		return record.Ends{}, errNoAnswer
	}
	e := s.p.w.broker.logs[p].limits()
	if s.p.w.mutant.restoreToStable {
		e.HighWatermark = e.LastStable
	}
	if s.p.w.mutant.earlyEnds {
		e = s.p.ends[p]
	}
	s.p.w.say("%s finds %s ends at %d (stable %d)", s.c.name, p, e.HighWatermark, e.LastStable)
	return e, nil
}

func (s *simLogs) Open(p record.Partition, from int64) record.LogReader {
	return &simReader{s: s, l: s.p.w.broker.logs[p], next: from}
}

// simReader blocks at the last stable offset, as a reader of committed records does.
type simReader struct {
	s    *simLogs
	l    *simLog
	next int64
}

func (r *simReader) Next(context.Context) (record.Batch, error) {
	s := r.s
	ready := func() bool {
		return r.l.stable() > r.next || !r.l.holds(r.next) || s.o.cancelled || (s.p.w.mutant.readUncommitted && r.l.high > r.next)
	}
	if !s.c.pause(ready) || s.o.cancelled {
		return record.Batch{}, errKilled
	}
	if s.p.w.chance(s.p.w.faults.unread) {
		return record.Batch{}, errNoAnswer
	}
	if !r.l.holds(r.next) {
		return record.Batch{}, record.ErrOffsetOutOfRange
	}
	records, next := r.l.read(r.next, 1+s.p.w.rng.IntN(40))
	r.next = next
	return record.Batch{Records: records, Next: next, LeaderEpoch: -1}, nil
}

func (r *simReader) Close() {}

var _ state.DB = (*simDB)(nil)
