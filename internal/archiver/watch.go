package archiver

import (
	"context"
	"errors"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// maxPeeks bounds how many partitions are looked into at one scan.
const maxPeeks = 200

// peek learns how old the records are that wait, and warns where Kafka is about to
// delete them.
func (a *Archiver) peek(ctx context.Context, now time.Time) {
	for _, w := range a.waiting() {
		first := peeked{at: w.offset, timestamp: -1}
		raw, err := a.kafka.Peek(ctx, w.id, w.p, w.offset)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			continue // the next scan tells more
		}
		for b, err := range archive.Batches(raw) {
			if err == nil && b.LastOffset() >= w.offset {
				first.timestamp = b.MaxTimestamp
				break
			}
		}
		a.mu.Lock()
		if p := a.parts[w.p]; p != nil && p.id == w.id {
			p.first = first
		}
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.parts {
		a.warn(p, now)
	}
}

type waiting struct {
	p      record.Partition
	id     record.TopicID
	offset int64
}

// waiting returns the partitions of whose waiting records the age matters and is not
// known.
func (a *Archiver) waiting() []waiting {
	parts := a.holding()
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []waiting
	for _, part := range parts {
		p := a.parts[part]
		if p == nil {
			continue
		}
		t := a.topics[p.p.Topic]
		next := max(p.next(), p.ends.Start)
		if p.backlog() == 0 || p.job != nil || p.first.at == next || t.retention < 0 && t.compactionLag < 0 {
			continue
		}
		if list = append(list, waiting{p.p, p.id, next}); len(list) == maxPeeks {
			break
		}
	}
	return list
}

// warnEvery is how often there is a warning of one partition.
const warnEvery = time.Hour

// warn says, once in a while, that Kafka is about to delete what is not archived; the
// caller holds the lock.
func (a *Archiver) warn(p *partition, now time.Time) {
	left, bounded := p.headroom(a.topics[p.p.Topic], now)
	if !bounded || left >= a.c.WarnBefore || !p.warned.IsZero() && now.Sub(p.warned) < warnEvery {
		return
	}
	p.warned = now
	a.c.Log.Warn("Kafka may soon delete or compact records that are not archived yet: raise the topic's retention, lower the age of segments, or run more archivers",
		"partition", p.p.String(), "from", p.next(), "records", p.backlog(), "left", left.Round(time.Second))
}

// commitOffsets tells the group how far the archive goes.
func (a *Archiver) commitOffsets(ctx context.Context) {
	offsets := map[record.Partition]int64{}
	a.mu.Lock()
	for _, p := range a.parts {
		if p.m != nil && p.m.Number > 0 && p.m.Next != p.committed {
			offsets[p.p] = p.m.Next
		}
	}
	a.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	if err := a.share.Commit(ctx, offsets); err != nil {
		if !errors.Is(err, context.Canceled) {
			a.c.Log.Debug("the group's offsets, which are for show", "err", err)
		}
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for at, offset := range offsets {
		if p := a.parts[at]; p != nil {
			p.committed = offset
		}
	}
}
