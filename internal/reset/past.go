package reset

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources/tiered"
)

// past is what there is of one partition: an archive and Kafka as one log.
type past struct {
	p        record.Partition
	kafka    record.Ends
	manifest *archive.Manifest // nil where nothing is archived, or no archive was asked
	asked    bool
}

// start returns the first offset that there is.
func (h *past) start() int64 {
	if h.manifest != nil {
		return min(h.manifest.Start(), h.kafka.Start)
	}
	return h.kafka.Start
}

// end returns the offset that the next record gets.
func (h *past) end() int64 { return h.kafka.HighWatermark }

// archived returns what is read from the archive by one who starts at an offset:
// nothing where Kafka has it, or nearly all of it.
func (h *past) archived(at int64) (from, to int64) {
	m := h.manifest
	if m == nil || at < m.Start() || at >= m.Next || at >= h.kafka.Start && m.Next-at <= tiered.DefaultNear {
		return at, at
	}
	return at, m.Next
}

// check names what keeps a group from reading on from an offset.
func (h *past) check(at int64) error {
	if at < h.start() || at > h.end() {
		return &RangeError{h.p, at, h.start(), h.end(), h.asked}
	}
	_, next := h.archived(at)
	if m := h.manifest; m != nil && next > at {
		for _, g := range m.Gaps {
			if g.To > at && g.From < next {
				return &GapError{h.p, max(g.From, at), g.To, "they were gone before they were archived: " + g.Reason}
			}
		}
	}
	if next < h.kafka.Start {
		return &GapError{h.p, next, h.kafka.Start, "the archive ends before them, Kafka begins after them"}
	}
	return nil
}

// volume returns about how many records and bytes of the archive lie in [from, to).
func (h *past) volume(from, to int64) (records, bytes int64) {
	if h.manifest == nil || from >= to {
		return 0, 0
	}
	for i := range h.manifest.Segments {
		s := &h.manifest.Segments[i]
		share := min(s.End, to) - max(s.Start, from)
		if share <= 0 {
			continue
		}
		part := float64(share) / float64(s.End-s.Start)
		records += int64(float64(s.Records)*part + 0.5)
		bytes += int64(float64(s.Bytes())*part + 0.5)
	}
	return records, bytes
}

// askedAtOnce is how many partitions of an archive are asked at a time.
const askedAtOnce = 16

// pasts asks Kafka and the archive about partitions.
func pasts(ctx context.Context, c *kafka.Cluster, a *archive.Archive, parts []record.Partition) (map[record.Partition]*past, error) {
	ends, err := c.EndsOf(ctx, parts...)
	if err != nil {
		return nil, err
	}
	all := make(map[record.Partition]*past, len(parts))
	for _, p := range parts {
		all[p] = &past{p: p, kafka: ends[p], asked: a != nil}
	}
	if a == nil {
		return all, nil
	}
	err = each(parts, askedAtOnce, func(p record.Partition) error {
		m, err := a.Latest(ctx, archive.Log{Cluster: c.ID(), Topic: p.Topic, TopicID: ends[p].TopicID, Partition: p.Partition})
		if err != nil && !errors.Is(err, archive.ErrNotArchived) {
			return fmt.Errorf("the archive of %s: %w", p, err)
		}
		all[p].manifest = m
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		if h.manifest != nil {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the archive holds nothing of the inputs: %w (is the bucket the right one?)", archive.ErrNotArchived)
}

// each calls fn for all of list, some at a time, and returns all errors.
func each[T any](list []T, atOnce int, fn func(T) error) error {
	errs := make([]error, len(list))
	turns := make(chan struct{}, atOnce)
	var run sync.WaitGroup
	for i, v := range list {
		turns <- struct{}{}
		run.Go(func() {
			errs[i] = fn(v)
			<-turns
		})
	}
	run.Wait()
	return errors.Join(errs...)
}
