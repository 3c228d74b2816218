package reset

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// group is what is known of a group as of a moment.
type group struct {
	control   *control.State
	shape     *control.Shape
	reset     *control.Reset             // the last one, nil where there was none
	committed map[record.Partition]int64 // of its inputs
	streams   []record.Partition         // by topic and partition
	loops     []record.Partition
	topics    []string // all of the cluster
}

// look asks the cluster about a group.
func look(ctx context.Context, c *kafka.Cluster, o *Options) (*group, error) {
	s, err := control.ReadAll(ctx, c)
	if err != nil {
		return nil, err
	}
	g := &group{control: s, shape: o.Shape, reset: s.Resets[o.Group]}
	if g.topics, err = c.AllTopics(ctx); err != nil {
		return nil, err
	}
	if g.shape == nil {
		g.shape = s.Shapes[o.Group]
	}
	if g.shape == nil {
		if g.shape, err = g.guess(ctx, c, o.Group); err != nil {
			return nil, err
		}
	}
	if err := g.partitions(ctx, c); err != nil {
		return nil, err
	}
	if g.committed, err = c.Committed(ctx, o.Group, g.inputs()...); err != nil {
		return nil, err
	}
	if len(g.committed) == 0 {
		return nil, ErrUnknown
	}
	return g, nil
}

// guess tells the shape of a group by what it has committed: what goka leaves behind.
func (g *group) guess(ctx context.Context, c *kafka.Cluster, name string) (*control.Shape, error) {
	committed, err := c.Committed(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(committed) == 0 {
		return nil, ErrUnknown
	}
	table, state := control.Topics(name, 1)
	s := &control.Shape{Group: name, State: state}
	if slices.Contains(g.topics, table) {
		s.Table = table
	}
	kinds := map[string]control.ShapeKind{}
	for p := range committed {
		kinds[p.Topic] = control.StreamShape
	}
	if loop := name + "-loop"; kinds[loop] != "" {
		kinds[loop] = control.LoopShape
	}
	for _, topic := range slices.Sorted(maps.Keys(kinds)) {
		s.Inputs = append(s.Inputs, control.ShapeInput{Topic: topic, Kind: kinds[topic]})
	}
	return s, nil
}

func (g *group) inputs() []string {
	names := make([]string, len(g.shape.Inputs))
	for i, in := range g.shape.Inputs {
		names[i] = in.Topic
	}
	return names
}

// partitions lists the partitions of the inputs. A loop that does not exist yet has
// none.
func (g *group) partitions(ctx context.Context, c *kafka.Cluster) error {
	topics, err := c.Topics(ctx, g.inputs()...)
	if err != nil {
		return err
	}
	shape := *g.shape
	g.shape = &shape
	for _, in := range shape.Inputs {
		t, ok := topics[in.Topic]
		if !ok && in.Kind == control.StreamShape {
			return fmt.Errorf("input %s: %w", in.Topic, ErrNotInKafka)
		}
		for p := range t.Partitions {
			part := record.Partition{Topic: in.Topic, Partition: p}
			switch in.Kind {
			case control.StreamShape:
				g.streams = append(g.streams, part)
				shape.Partitions = max(shape.Partitions, p+1)
			case control.LoopShape:
				g.loops = append(g.loops, part)
			}
		}
	}
	return nil
}

// generation returns that in which the group runs, and the largest that has topics.
func (g *group) generation() (present, largest uint64) {
	present = 1
	if g.reset != nil {
		present = g.reset.Generation
	}
	largest = present
	for _, t := range g.topics {
		if n, ok := control.GenerationOf(g.shape.Group, t); ok {
			largest = max(largest, n)
		}
	}
	return present, largest
}

// others returns the group's topics of all generations but the given ones, sorted.
func (g *group) others(keep ...string) []string {
	var old []string
	for _, t := range g.topics {
		if _, ok := control.GenerationOf(g.shape.Group, t); ok && !slices.Contains(keep, t) {
			old = append(old, t)
		}
	}
	return old
}

// same reports whether nothing that a plan rests on has changed.
func (g *group) same(o *group) bool {
	number := func(r *control.Reset) uint64 {
		if r == nil {
			return 0
		}
		return r.Number
	}
	return number(g.reset) == number(o.reset) && maps.Equal(g.committed, o.committed)
}
