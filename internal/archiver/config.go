package archiver

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
)

// Config says what is archived, from where and whereto.
type Config struct {
	Cluster *kafka.Cluster
	Archive *archive.Archive
	Topics  Patterns

	// Group is the group by which instances share the work. Default "kappa-archiver".
	Group string
	// SessionTimeout is how long the work of an instance that is not heard of rests.
	// Default 10 s.
	SessionTimeout time.Duration

	// SegmentBytes is the size at which a segment ends, and that merges aim at.
	// Default 128 MiB.
	SegmentBytes int64
	// SegmentAge is how old a record may be, counted from when it was seen, before it
	// is archived. Default 5 min.
	SegmentAge time.Duration
	// MemoryBytes bounds what all jobs together hold. Default 256 MiB. One job runs
	// in any case: about 40 MiB.
	MemoryBytes int64
	// Jobs bounds how many run at once. Default: as many as the memory is for, at
	// most 16.
	Jobs int
	// AcceptGaps says that what Kafka deleted before it was archived is noted as a
	// gap, and archiving goes on behind it.
	AcceptGaps bool
	// Retention are rules for removing old segments; the first that matches counts.
	// Default: everything is kept.
	Retention []Retention
	// TendEvery is how often a partition's archive is tended: retention, and removal
	// of what no longer counts. Default 1 h.
	TendEvery time.Duration
	// Grace is how long an object is kept that no longer counts. Default 24 h.
	Grace time.Duration
	// WarnBefore is how long before Kafka would delete what is not archived there is
	// a warning. Default four times SegmentAge, at least 15 min.
	WarnBefore time.Duration
	// StopTimeout bounds how long jobs may take to seal what they have when the
	// archiver stops. Default 2 s.
	StopTimeout time.Duration
	// ScanEvery is how often the ends of the logs are asked for. Default: a twentieth
	// of SegmentAge, between 100 ms and 5 s.
	ScanEvery time.Duration
	// TopicsEvery is how often topics and their settings are asked for. Default 10 s.
	TopicsEvery time.Duration

	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log receives what happens. Default: nothing.
	Log *slog.Logger
}

// Retention says how long the archive of topics is kept. A segment goes when either
// bound is passed.
type Retention struct {
	Topics Patterns
	// Age is how old a segment must be to go, by its newest record's timestamp and by
	// when it was written. 0: any age is kept.
	Age time.Duration
	// Bytes is what is kept of each partition, whole segments. 0: any size is kept.
	Bytes int64
}

const (
	maxJobs   = 16
	readBytes = 2 * 4 << 20 // an answer of Kafka, or a chunk of a merge, and the next
	firstPart = 16 << 20    // what an upload to S3 holds at first
	partBytes = 5 << 20
	ahead     = 2
	jobBytes  = readBytes + firstPart + (ahead+1)*partBytes
)

func (c Config) withDefaults() Config {
	c.Group = cmp.Or(c.Group, "kappa-archiver")
	c.SegmentBytes = cmp.Or(c.SegmentBytes, 128<<20)
	c.SegmentAge = cmp.Or(c.SegmentAge, 5*time.Minute)
	c.MemoryBytes = cmp.Or(c.MemoryBytes, 256<<20)
	if c.Jobs <= 0 {
		c.Jobs = int(min(max(c.MemoryBytes/jobBytes, 1), maxJobs))
	}
	c.TendEvery = cmp.Or(c.TendEvery, time.Hour)
	c.Grace = cmp.Or(c.Grace, 24*time.Hour)
	c.WarnBefore = cmp.Or(c.WarnBefore, max(4*c.SegmentAge, 15*time.Minute))
	c.StopTimeout = cmp.Or(c.StopTimeout, 2*time.Second)
	c.ScanEvery = cmp.Or(c.ScanEvery, min(max(c.SegmentAge/20, 100*time.Millisecond), 5*time.Second))
	c.TopicsEvery = cmp.Or(c.TopicsEvery, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns all mistakes.
func (c Config) Validate() error {
	var errs []error
	if err := c.Topics.Validate(); err != nil {
		errs = append(errs, err)
	}
	for _, r := range c.Retention {
		if err := r.Topics.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("retention: %w", err))
		}
		if r.Age < 0 || r.Bytes < 0 {
			errs = append(errs, fmt.Errorf("retention of %v: negative", r.Topics))
		}
	}
	if c.SegmentBytes < 0 || c.SegmentAge < 0 || c.MemoryBytes < 0 {
		errs = append(errs, errors.New("sizes and ages of segments and memory must be positive"))
	}
	return errors.Join(errs...)
}

func (c *Config) segment(compacted bool) archive.SegmentConfig {
	return archive.SegmentConfig{MaxBytes: c.SegmentBytes, PartBytes: partBytes, PartsAhead: ahead, Compacted: compacted}
}

func (c *Config) merging() archive.MergePolicy {
	return archive.MergePolicy{TargetBytes: c.SegmentBytes}
}

// retention returns the rule for a topic, the zero one where there is none.
func (c *Config) retention(topic string) Retention {
	for _, r := range c.Retention {
		if r.Topics.Match(topic) {
			return r
		}
	}
	return Retention{}
}
