package archiver

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// Counts are what this instance has done for a topic since it began.
type Counts struct {
	Segments    int64 // written and counted
	Bytes       int64 // of them
	Merges      int64
	Fences      int64 // jobs that were thrown away: another archiver was first
	Gaps        int64 // ranges that Kafka deleted before they were archived
	LostOffsets int64 // in them
	Errors      int64 // jobs that failed otherwise
}

// PartitionStats is how far the archive of a partition goes.
type PartitionStats struct {
	Partition  record.Partition
	TopicID    record.TopicID
	Start, End int64         // of the archive
	Lag        int64         // offsets that are committed in Kafka and not archived
	LagBytes   int64         // of them, estimated
	LagTime    time.Duration // since when the oldest of them has been waiting
	// Headroom is how long it is until Kafka may delete or compact what is not
	// archived yet; Bounded is false where it never will.
	Headroom time.Duration
	Bounded  bool
	Segments int
	Bytes    int64
	Err      error // why it cannot go on, nil where it can
}

// Stats are the figures of an archiver.
type Stats struct {
	Partitions []PartitionStats  // held by this instance, sorted
	Topics     map[string]Counts // by topic
	Jobs       int               // under way
}

// Stats returns the figures of now.
func (a *Archiver) Stats() Stats {
	now := a.c.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Stats{Topics: make(map[string]Counts, len(a.counts)), Jobs: a.running}
	for name := range a.topics {
		s.Topics[name] = Counts{}
	}
	for name, c := range a.counts {
		s.Topics[name] = *c
	}
	for _, p := range a.parts {
		if p.m == nil && p.err == nil {
			continue // nothing is known yet
		}
		st := PartitionStats{Partition: p.p, TopicID: p.id, Lag: p.backlog(), LagBytes: p.backlogBytes(), Err: p.err}
		st.Headroom, st.Bounded = p.headroom(a.topics[p.p.Topic], now)
		if !p.since.IsZero() {
			st.LagTime = now.Sub(p.since)
		}
		if p.m != nil {
			st.Start, st.End, st.Segments, st.Bytes = p.m.Start(), p.m.Next, len(p.m.Segments), p.m.Bytes()
		}
		s.Partitions = append(s.Partitions, st)
	}
	slices.SortFunc(s.Partitions, func(x, y PartitionStats) int { return comparePartitions(x.Partition, y.Partition) })
	return s
}

// Ready returns why the archiver does not do its work, nil where it does: brokers that
// do not answer, and partitions that cannot go on.
func (a *Archiver) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := []error{a.failed, a.scanErr}
	for _, p := range a.parts {
		if p.err != nil {
			errs = append(errs, fmt.Errorf("partition %s: %w", p.p, p.err))
		}
	}
	return errors.Join(errs...)
}

// count adds what a job has done; the caller holds the lock.
func (a *Archiver) count(t *task, err error) {
	c := a.counts[t.log.Topic]
	if c == nil {
		c = new(Counts)
		a.counts[t.log.Topic] = c
	}
	if t.written > 0 {
		c.Segments++
		c.Bytes += t.written
	}
	c.Merges += int64(t.merged)
	if t.fenced {
		c.Fences++
	}
	var lost *LostError
	if err == nil {
		lost = t.gap
	}
	if errors.As(err, &lost); lost != nil && !a.knownGap(t.log, lost) {
		c.Gaps++
		c.LostOffsets += lost.To - lost.From
	}
	if err != nil && !errors.Is(err, errAgain) && !errors.Is(err, ErrLost) && !transient(err) {
		c.Errors++
	}
}

// knownGap reports whether the gap was counted when the last job met it.
func (a *Archiver) knownGap(l archive.Log, lost *LostError) bool {
	p := a.parts[record.Partition{Topic: l.Topic, Partition: l.Partition}]
	var before *LostError
	return p != nil && errors.As(p.err, &before) && *before == *lost
}
