package archiver

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// This file is what runs: dispatch picks, run does, finish takes what came of it.

// dispatch starts what is due, as far as there are slots: first what must be archived,
// the oldest first, then merges and the rest. The caller holds the lock.
func (a *Archiver) dispatch() {
	for now := a.c.Now(); a.running < a.c.Jobs && !a.closed; {
		p, extend := a.pick(now)
		if p == nil {
			return
		}
		a.start(p, extend)
	}
}

func (a *Archiver) pick(now time.Time) (best *partition, extend bool) {
	for _, p := range a.parts {
		due := p.due(&a.c, now)
		switch {
		case !due && !p.tend(&a.c, now), extend && !due:
		case best == nil, due && !extend, before(p, best, due):
			best, extend = p, due
		}
	}
	return best, extend
}

// before orders what is due alike.
func before(p, q *partition, due bool) bool {
	x, y := p.since, q.since
	if !due {
		x, y = p.tended, q.tended
	}
	return cmp.Or(x.Compare(y), comparePartitions(p.p, q.p)) < 0
}

func comparePartitions(a, b record.Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// start begins a job; the caller holds the lock.
func (a *Archiver) start(p *partition, extend bool) {
	soft, stop := context.WithCancel(a.hard)
	p.job = &job{stop: stop, done: make(chan struct{})}
	a.running++
	t := &task{
		c: &a.c, kafka: a.kafka, topic: a.topics[p.p.Topic], ends: p.ends, w: p.writer, m: p.m,
		log: archive.Log{Cluster: a.kafka.ID(), Topic: p.p.Topic, TopicID: p.id, Partition: p.p.Partition},
	}
	began := a.c.Now()
	collect := began.Sub(p.tended) >= a.c.TendEvery
	a.work.Go(func() {
		defer stop()
		var err error
		if extend {
			err = t.extend(a.hard, soft)
		} else {
			err = t.tend(soft, collect)
		}
		if soft.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil
		}
		a.finish(p, t, began, collect && !extend, err)
	})
}

// finish takes what came of a job.
func (a *Archiver) finish(p *partition, t *task, began time.Time, collected bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(p.job.done)
	p.job = nil
	a.running--
	a.count(t, err)
	if p.id == t.log.TopicID { // else the topic was recreated meanwhile
		a.update(p, t, began, collected)
		a.settle(p, err)
	}
	a.dispatch()
}

// update brings the partition to what the job has found and made.
func (a *Archiver) update(p *partition, t *task, began time.Time, collected bool) {
	p.writer, p.m = t.w, cmp.Or(t.m, p.m)
	if p.m != nil {
		p.merge = len(a.c.merging().Plan(p.m)) > 0
	}
	if collected {
		p.tended = began
	}
	switch {
	case t.caught:
		p.fresh = false
		p.since = time.Time{}
		if p.backlog() > 0 {
			p.since = began
		}
	case p.since.IsZero() && p.backlog() > 0:
		p.since = began
	}
	if t.written == 0 && t.merged == 0 {
		p.again = a.c.Now().Add(a.c.ScanEvery) // there is nothing to do before the next look
	}
}

// settle decides when the partition is worked on again, and says once what is wrong.
func (a *Archiver) settle(p *partition, err error) {
	now := a.c.Now()
	log := a.c.Log.With("partition", p.p.String())
	if err == nil || errors.Is(err, errAgain) {
		if p.err != nil && err == nil {
			log.Info("archiving goes on")
			p.err = nil
		}
		if p.errs = 0; err != nil {
			p.again = now.Add(a.c.ScanEvery)
			log.Info("another archiver has extended the archive; going on behind it")
		}
		return
	}
	p.errs++
	p.again = now.Add(pauseAfter(p.errs))
	if transient(err) && p.errs == 1 { // the next attempt tells more
		log.Debug("archive", "err", err)
		return
	}
	if p.err == nil || p.err.Error() != err.Error() {
		log.Error("archive", "err", err)
	}
	p.err = err
}

// transient says that an error is the normal course of things: it went between two
// looks at the log.
func transient(err error) bool {
	return errors.Is(err, record.ErrOffsetOutOfRange) || errors.Is(err, record.ErrRecreated) || errors.Is(err, record.ErrUnknownTopic)
}

func pauseAfter(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 6), time.Minute)
}

// listener takes what the group gives and takes.
type listener struct{ a *Archiver }

func (l listener) Given(parts []record.Partition) {
	a := l.a
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range parts {
		a.parts[p] = &partition{p: p, fresh: true, committed: -1, first: peeked{at: -1}}
	}
	a.c.Log.Info("partitions given", "n", len(parts), "held", len(a.parts))
}

// Taken lets jobs finish with what they have: who has the partition next begins there.
func (l listener) Taken(ctx context.Context, parts []record.Partition) {
	a := l.a
	var jobs []*job
	a.mu.Lock()
	for _, p := range parts {
		if part := a.parts[p]; part != nil && part.job != nil {
			part.job.stop()
			jobs = append(jobs, part.job)
		}
		delete(a.parts, p)
	}
	a.mu.Unlock()
	for _, j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
		}
	}
	a.c.Log.Info("partitions taken", "n", len(parts))
}

func (l listener) Failed(err error) {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	l.a.failed = err
}
