package archiver

import (
	"context"
	"math"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// partition is one partition that this instance has. The archiver's lock guards it; a
// job works on what it was given at its start, and reports when it is done.
type partition struct {
	p      record.Partition
	id     record.TopicID  // of the history that is archived, unknown before the first scan
	writer *archive.Writer // nil before the first job
	m      *archive.Manifest
	ends   record.Ends

	fresh bool      // has not been brought up to the log's end yet
	since time.Time // when it was seen that something is to be archived; zero: nothing is
	first peeked    // the first batch that is to be archived

	scanned time.Time // the last scan, for the rate
	rate    float64   // offsets a second that the log grows by

	job    *job // the one that runs
	merge  bool // there is something to merge
	tended time.Time

	err    error // why it cannot go on
	errs   int   // in a row
	again  time.Time
	warned time.Time // that a gap is near

	committed int64 // offset of the group, as this instance has set it
}

// peeked is the time of the batch at an offset.
type peeked struct {
	at        int64 // -1: none
	timestamp int64 // of its newest record
}

// job is a job under way. Stop asks it to end soon, with what it has.
type job struct {
	stop context.CancelFunc
	done chan struct{}
}

// next returns the offset that is to be archived next.
func (p *partition) next() int64 {
	if p.m == nil || p.m.Number == 0 {
		return p.ends.Start
	}
	return p.m.Next
}

// backlog is how many offsets are to be archived.
func (p *partition) backlog() int64 {
	if p.m == nil {
		return 0
	}
	return max(0, p.ends.LastStable-max(p.next(), p.ends.Start))
}

// bytesPerOffset is estimated by the newest segments.
func (p *partition) bytesPerOffset() float64 {
	if p.m == nil {
		return 0
	}
	var bytes, offsets int64
	for i := len(p.m.Segments) - 1; i >= 0 && i >= len(p.m.Segments)-4; i-- {
		s := &p.m.Segments[i]
		bytes += s.DataBytes
		offsets += s.End - s.Start
	}
	if offsets == 0 {
		return 0
	}
	return float64(bytes) / float64(offsets)
}

func (p *partition) backlogBytes() int64 { return int64(float64(p.backlog()) * p.bytesPerOffset()) }

// observe takes what a scan has found.
func (p *partition) observe(ends record.Ends, now time.Time) {
	if ends.TopicID != p.id {
		*p = partition{p: p.p, id: ends.TopicID, fresh: true, job: p.job, committed: -1, first: peeked{at: -1}}
	}
	if seconds := now.Sub(p.scanned).Seconds(); !p.scanned.IsZero() && seconds > 0 {
		grown := float64(max(0, ends.LastStable-p.ends.LastStable)) / seconds
		p.rate += (grown - p.rate) * min(1, seconds/60)
	}
	p.ends, p.scanned = ends, now
	switch {
	case p.m == nil:
	case p.backlog() == 0:
		p.since = time.Time{}
	case p.since.IsZero():
		p.since = now
	}
}

// odd says that archive and log do not join: a job must find out why, even where
// there is nothing to archive.
func (p *partition) odd() bool {
	return p.m != nil && p.m.Number > 0 && (p.ends.Start > p.m.Next || p.ends.HighWatermark < p.m.Next)
}

// due says whether there is reason to extend the archive now.
func (p *partition) due(c *Config, now time.Time) bool {
	switch {
	case p.job != nil || now.Before(p.again) || p.scanned.IsZero():
		return false
	case p.writer == nil:
		return true
	case p.odd():
		return true
	case p.backlog() == 0:
		return false
	}
	return p.fresh || now.Sub(p.since) >= c.SegmentAge || p.backlogBytes() >= c.SegmentBytes
}

// tend says whether there is reason to tend the archive now.
func (p *partition) tend(c *Config, now time.Time) bool {
	if p.job != nil || p.writer == nil || p.m == nil || p.m.Number == 0 || now.Before(p.again) {
		return false
	}
	return p.merge || now.Sub(p.tended) >= c.TendEvery
}

// headroom is how long it is until Kafka may delete, or compact, what is not archived
// yet; false where it never will.
func (p *partition) headroom(t topic, now time.Time) (time.Duration, bool) {
	if p.backlog() == 0 {
		return 0, false
	}
	left, bounded := time.Duration(math.MaxInt64), false
	bound := func(d time.Duration) { left, bounded = min(left, d), true }
	if p.first.at == p.next() && p.first.timestamp >= 0 {
		age := now.Sub(time.UnixMilli(p.first.timestamp))
		if t.retention >= 0 {
			bound(t.retention - age)
		}
		if t.compactionLag >= 0 {
			bound(t.compactionLag - age)
		}
	}
	if perSecond := p.rate * p.bytesPerOffset(); t.retentionBytes >= 0 && perSecond > 0 {
		seconds := float64(t.retentionBytes-p.backlogBytes()) / perSecond
		bound(time.Duration(min(max(seconds, -1e9), 1e9) * float64(time.Second)))
	}
	return left, bounded
}
