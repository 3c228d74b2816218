package reset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// targets returns where each partition of the streams is set to. What is not named in
// the options stays where it is.
func (g *group) targets(ctx context.Context, c *kafka.Cluster, o *Options, all map[record.Partition]*past) (map[record.Partition]int64, error) {
	for p := range o.Offsets {
		if !slices.Contains(g.streams, p) {
			return nil, fmt.Errorf("%s is no input of group %s: it reads %v, partitions 0 to %d", p, o.Group, g.streamTopics(), g.shape.Partitions-1)
		}
	}
	times := map[record.Partition]int64{}
	if !o.Time.IsZero() {
		var err error
		if times, err = g.after(ctx, c, o, all); err != nil {
			return nil, err
		}
	}
	to := make(map[record.Partition]int64, len(g.streams))
	var errs []error
	for _, p := range g.streams {
		at, moves := g.target(o, p, all[p], times)
		to[p] = at
		if moves {
			errs = append(errs, all[p].check(at))
		}
	}
	return to, errors.Join(errs...)
}

func (g *group) target(o *Options, p record.Partition, h *past, times map[record.Partition]int64) (at int64, moves bool) {
	switch {
	case o.Offsets != nil:
		if at, ok := o.Offsets[p]; ok {
			return at, true
		}
		if at, ok := g.committed[p]; ok {
			return at, false
		}
		return h.start(), false
	case !o.Time.IsZero():
		return times[p], true
	}
	return h.start(), true
}

func (g *group) streamTopics() []string {
	var names []string
	for _, p := range g.streams {
		if !slices.Contains(names, p.Topic) {
			names = append(names, p.Topic)
		}
	}
	return names
}

// after returns the first offsets with records of the options' time or later, in the
// archive where it has them, else in Kafka; the end where there is none.
func (g *group) after(ctx context.Context, c *kafka.Cluster, o *Options, all map[record.Partition]*past) (map[record.Partition]int64, error) {
	ms := o.Time.UnixMilli()
	to := make(map[record.Partition]int64, len(g.streams))
	for _, topic := range g.streamTopics() {
		offsets, err := c.OffsetsAfter(ctx, topic, ms)
		if err != nil {
			return nil, err
		}
		for p, at := range offsets {
			to[record.Partition{Topic: topic, Partition: p}] = at
		}
	}
	if o.Archive == nil {
		return to, nil
	}
	var mu sync.Mutex // guards to
	return to, each(g.streams, askedAtOnce, func(p record.Partition) error {
		m := all[p].manifest
		if m == nil {
			return nil
		}
		at, err := o.Archive.OffsetAfter(ctx, m, ms)
		if err != nil {
			return fmt.Errorf("the archive of %s: %w", p, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if at < m.Next {
			to[p] = min(to[p], at) // Kafka may have an earlier one, from before the archive began
		}
		return nil
	})
}
