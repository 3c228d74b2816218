package archiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// Archiver copies topics into an archive. Stats may be called at any time, from any
// goroutine; Run once.
type Archiver struct {
	c     Config
	kafka brokers
	share membership
	hard  context.Context // of the jobs' uploads and commits
	work  sync.WaitGroup  // the jobs

	mu      sync.Mutex // guards what follows; never held over I/O
	parts   map[record.Partition]*partition
	topics  map[string]topic
	counts  map[string]*Counts
	running int
	closed  bool  // no new jobs
	failed  error // of the group
	scanErr error // of the last scan
}

// New returns an archiver that does nothing before Run.
func New(c Config) (*Archiver, error) { return newArchiver(c, cluster{c.Cluster}) }

func newArchiver(c Config, k brokers) (*Archiver, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("archiver: %w", err)
	}
	return &Archiver{c: c, kafka: k, parts: map[record.Partition]*partition{}, topics: map[string]topic{}, counts: map[string]*Counts{}}, nil
}

// Run archives until ctx ends, and stops in order then: jobs seal what they have, as
// far as StopTimeout allows, and the group is left. What goes wrong with a partition or
// with the brokers is tried again; the error is one that only a person can mend.
func (a *Archiver) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.hard = hard
	var err error
	if a.share, err = a.kafka.join(ctx, kafka.ShareConfig{Group: a.c.Group, SessionTimeout: a.c.SessionTimeout}, listener{a}); err != nil {
		return err
	}
	err = a.loop(ctx)
	a.stop(cancel)
	return err
}

// loop scans until ctx ends.
func (a *Archiver) loop(ctx context.Context) error {
	tick := time.NewTicker(a.c.ScanEvery)
	defer tick.Stop()
	var listed time.Time
	for ctx.Err() == nil {
		if now := a.c.Now(); now.Sub(listed) >= a.c.TopicsEvery {
			listed = now
			a.note(a.listTopics(ctx))
		}
		a.scan(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if err := a.groupError(); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archiver) groupError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// note remembers and logs what went wrong with the brokers, once.
func (a *Archiver) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	a.mu.Lock()
	known := a.scanErr != nil
	a.scanErr = err
	a.mu.Unlock()
	switch {
	case err != nil && !known:
		a.c.Log.Warn("the brokers cannot be asked; trying again", "err", err)
	case err == nil && known:
		a.c.Log.Info("the brokers answer again")
	}
}

// listTopics follows the topics that match now.
func (a *Archiver) listTopics(ctx context.Context) error {
	names, err := a.kafka.AllTopics(ctx)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !a.c.Topics.Match(n) })
	all, err := a.kafka.Topics(ctx, names...)
	if err != nil {
		return err
	}
	names = names[:0]
	a.mu.Lock()
	for name, t := range all {
		settings := topicOf(t)
		if old, known := a.topics[name]; !known || old != settings {
			a.announce(name, settings)
		}
		a.topics[name] = settings
		names = append(names, name)
	}
	for name := range a.topics {
		if _, there := all[name]; !there {
			delete(a.topics, name)
			a.c.Log.Info("topic is gone; what is archived of it stays", "topic", name)
		}
	}
	a.mu.Unlock()
	a.share.Follow(names)
	return nil
}

// announce logs a topic that is new, or has other settings, and what is wrong with them.
func (a *Archiver) announce(name string, t topic) {
	log := a.c.Log.With("topic", name)
	log.Info("archiving topic", "partitions", t.partitions, "compacted", t.compacted)
	if t.compacted && t.compactionLag >= 0 && t.compactionLag < 2*a.c.SegmentAge {
		log.Warn("the topic may be compacted before it is archived, so its history would have holes: set min.compaction.lag.ms to twice the age of segments at least",
			"min.compaction.lag", t.compactionLag, "segment age", a.c.SegmentAge)
	}
	if t.retention >= 0 && t.retention < 2*a.c.SegmentAge {
		log.Warn("the topic's records may be deleted before they are archived: raise retention.ms, or lower the age of segments",
			"retention", t.retention, "segment age", a.c.SegmentAge)
	}
}

// scan looks how far the logs go, and starts what is due.
func (a *Archiver) scan(ctx context.Context) {
	ends, err := a.ends(ctx, a.holding())
	a.note(err)
	now := a.c.Now()
	a.mu.Lock()
	for p, e := range ends {
		if part := a.parts[p]; part != nil {
			if part.id.Known() && part.id != e.TopicID {
				a.c.Log.Warn("the topic was deleted and created anew: another history begins", "partition", p.String(), "was", part.id.String(), "is", e.TopicID.String())
			}
			part.observe(e, now)
		}
	}
	a.dispatch()
	a.mu.Unlock()
	a.peek(ctx, now)
	a.commitOffsets(ctx)
}

// holding returns the partitions that this instance has, sorted.
func (a *Archiver) holding() []record.Partition {
	a.mu.Lock()
	defer a.mu.Unlock()
	parts := make([]record.Partition, 0, len(a.parts))
	for p := range a.parts {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, comparePartitions)
	return parts
}

// ends returns the limits of the logs: of all at once, or, where that fails, of those
// topics that there are.
func (a *Archiver) ends(ctx context.Context, parts []record.Partition) (map[record.Partition]record.Ends, error) {
	ends, err := a.kafka.EndsOf(ctx, parts...)
	if err == nil || !errors.Is(err, record.ErrUnknownTopic) {
		return ends, err
	}
	ends = map[record.Partition]record.Ends{}
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[n].Topic == parts[0].Topic {
			n++
		}
		of, err := a.kafka.EndsOf(ctx, parts[:n]...)
		if err != nil && !errors.Is(err, record.ErrUnknownTopic) {
			return ends, err
		}
		for p, e := range of {
			ends[p] = e
		}
		parts = parts[n:]
	}
	return ends, nil
}

// stop lets the jobs end, kills what does not, and leaves the group.
func (a *Archiver) stop(kill context.CancelFunc) {
	a.mu.Lock()
	a.closed = true
	for _, p := range a.parts {
		if p.job != nil {
			p.job.stop()
		}
	}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(a.hard, a.c.StopTimeout)
	defer cancel()
	overdue := context.AfterFunc(ctx, kill)
	a.work.Wait()
	overdue()
	last, done := context.WithTimeout(context.WithoutCancel(a.hard), time.Second)
	defer done()
	a.commitOffsets(last)
	a.share.Close(last)
}
