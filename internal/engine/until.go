package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// ErrUntil says that the bounds of a run do not fit the groups that it runs.
var ErrUntil = errors.New("the run cannot end there")

// Point is a place in a partition, as the bounds of a run name it. The zero value is
// the end as of the start of the run.
type Point struct {
	Kind PointKind
	At   int64 // the offset, or the time in milliseconds since the epoch
}

// PointKind says how a Point is meant.
type PointKind uint8

const (
	// AtEnd is the high watermark as of the start of the run.
	AtEnd PointKind = iota
	// AtOffset is an offset: the first one that is not processed.
	AtOffset
	// AtTime is the first record whose timestamp is as late, in the archive or in
	// Kafka; the high watermark as of the start of the run where there is none.
	AtTime
)

// Until gives the inputs of a run their ends. A point of a partition goes before one of
// its topic, and that before Rest. What groups of this process write themselves, loops
// too, needs no point: it ends when those who write it have come to their ends and all
// of it is read.
type Until struct {
	Rest       *Point // of what is not named, nil: all must be named
	Topics     map[string]Point
	Partitions map[record.Partition]Point
}

// point returns where a partition is to end; named is false where only Rest says so.
func (u *Until) point(p record.Partition) (at Point, named, ok bool) {
	if at, ok := u.Partitions[p]; ok {
		return at, true, true
	}
	if at, ok := u.Topics[p.Topic]; ok {
		return at, true, true
	}
	if u.Rest != nil {
		return *u.Rest, false, true
	}
	return Point{}, false, false
}

// names reports whether a topic, or a partition of it, is named.
func (u *Until) names(topic string) bool {
	if _, ok := u.Topics[topic]; ok {
		return true
	}
	for p := range u.Partitions {
		if p.Topic == topic {
			return true
		}
	}
	return false
}

// check refuses names that no group reads, and a run that could wait for ever.
func (u *Until) check(groups []*group, pauseFailed bool) error {
	if pauseFailed {
		return fmt.Errorf("%w: a task that failed and is paused never comes to its end; let the process exit on failure", ErrUntil)
	}
	read := map[string]int32{}
	for _, g := range groups {
		for _, topic := range g.inputTopics() {
			read[topic] = max(read[topic], g.tasks)
		}
	}
	inputs := strings.Join(slices.Sorted(maps.Keys(read)), ", ")
	for topic := range u.Topics {
		if read[topic] == 0 {
			return fmt.Errorf("%w: %s is no input; the inputs are %s", ErrUntil, topic, inputs)
		}
	}
	for p := range u.Partitions {
		switch n := read[p.Topic]; {
		case n == 0:
			return fmt.Errorf("%w: %s is no input; the inputs are %s", ErrUntil, p.Topic, inputs)
		case p.Partition >= n:
			return fmt.Errorf("%w: %s has %d partitions, from 0 on; there is no %s", ErrUntil, p.Topic, n, p)
		}
	}
	return nil
}

// resolver finds offsets for the points of one group's inputs.
type resolver struct {
	source sources.Source
	until  *Until
	parts  map[Point][]record.Partition
	bounds map[record.Partition]int64
}

// resolve returns where partitions end. It waits for brokers and buckets that are away.
func (u *Until) resolve(ctx context.Context, g *group, parts []record.Partition) (map[record.Partition]int64, error) {
	r := &resolver{source: g.source, until: u, parts: map[Point][]record.Partition{}, bounds: map[record.Partition]int64{}}
	for _, p := range parts {
		at, _, ok := u.point(p)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: nothing says where %s ends; add %s:%d=OFFSET, or %s=now", ErrUntil, p, p.Topic, p.Partition, p.Topic)
		case at.Kind == AtOffset:
			r.bounds[p] = at.At
		default:
			r.parts[at] = append(r.parts[at], p)
		}
	}
	for at, parts := range r.parts {
		err := patiently(ctx, g, "find where the inputs end", func() error { return r.find(ctx, at, parts) })
		if err != nil {
			return nil, err
		}
	}
	return r.bounds, nil
}

func (r *resolver) find(ctx context.Context, at Point, parts []record.Partition) error {
	if at.Kind == AtTime {
		found, err := r.source.OffsetsAt(ctx, at.At, parts...)
		maps.Copy(r.bounds, found)
		return err
	}
	ends, err := r.source.Ends(ctx, parts...)
	for p, e := range ends {
		r.bounds[p] = e.HighWatermark
	}
	return err
}

// patiently tries until the brokers, and the bucket, answer.
func patiently(ctx context.Context, g *group, what string, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || !mayPass(err) {
			return err
		}
		g.log.Warn(what+" has to wait", "err", err)
		if !pause(ctx, backoff(n)) {
			return ctx.Err()
		}
	}
}

// mayPass reports whether an error may be gone at the next attempt.
func mayPass(err error) bool { return kafka.Transient(err) || errors.Is(err, sources.ErrAway) }
