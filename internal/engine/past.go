package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/topology"
)

// ErrHistories says that an input is in Kafka no more, and that the archive has several
// histories under its name of which none is the newest.
var ErrHistories = errors.New("the archive has several topics of that name")

// pastTopic is an input that Kafka does not know and the archive has.
type pastTopic struct {
	id         record.TopicID
	partitions int32
	newest     int64 // when its last segment was made, milliseconds since the epoch
}

// findPast looks in the archive for inputs that Kafka does not know.
func (g *group) findPast(ctx context.Context) error {
	if g.engine.o.Archive == nil {
		return nil
	}
	known, err := g.engine.o.Cluster.Topics(ctx, g.streamInputs()...)
	if err != nil {
		return err
	}
	for _, topic := range g.streamInputs() {
		if _, ok := known[topic]; ok {
			continue
		}
		err := patiently(ctx, g, "look into the archive for "+topic, func() error {
			err := g.findTopic(ctx, topic)
			if err != nil && !errors.Is(err, archive.ErrCorrupt) && !errors.Is(err, ErrHistories) {
				err = fmt.Errorf("%w: %w", sources.ErrAway, err)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("input %s: %w", topic, err)
		}
	}
	return nil
}

func (g *group) streamInputs() []string {
	var out []string
	for _, in := range g.plan.Inputs {
		if in.Kind == topology.StreamInput {
			out = append(out, in.Topic)
		}
	}
	return out
}

// findTopic takes the newest of the archived topics of that name, where there is any.
func (g *group) findTopic(ctx context.Context, topic string) error {
	histories, err := g.histories(ctx, topic)
	if err != nil || len(histories) == 0 {
		return err
	}
	slices.SortFunc(histories, func(a, b *pastTopic) int { return int(b.newest - a.newest) })
	first := histories[0]
	if len(histories) > 1 {
		second := histories[1]
		if first.newest == second.newest {
			return fmt.Errorf("%w, with the ids %s and %s, and no telling which is the newer; remove one of them from the bucket", ErrHistories, first.id, second.id)
		}
		g.log.Warn("several topics had the name, the newest is read", "topic", topic, "id", first.id.String(), "others", len(histories)-1, "before", second.id.String())
	}
	g.log.Info("the topic is in the archive alone", "topic", topic, "id", first.id.String(), "partitions", first.partitions)
	g.past[topic] = *first
	return nil
}

// histories returns the topics of that name, of this cluster, that are archived.
func (g *group) histories(ctx context.Context, topic string) ([]*pastTopic, error) {
	a := g.engine.o.Archive
	logs, err := a.LogsOf(ctx, g.engine.o.Cluster.ID(), topic)
	if err != nil {
		return nil, err
	}
	var out []*pastTopic
	for _, l := range logs {
		m, err := a.Latest(ctx, l)
		if errors.Is(err, archive.ErrNotArchived) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(out) == 0 || out[len(out)-1].id != l.TopicID { // logs are sorted by it
			out = append(out, &pastTopic{id: l.TopicID})
		}
		h := out[len(out)-1]
		h.partitions = max(h.partitions, m.Partitions, l.Partition+1)
		for i := range m.Segments {
			h.newest = max(h.newest, m.Segments[i].Created)
		}
	}
	return out, nil
}

// subscription is what the member of the group subscribes to: of the inputs those that
// Kafka has; where it has none, the group's own state topic, which has a partition for
// each task.
func (g *group) subscription() []string {
	var out []string
	for _, topic := range g.inputTopics() {
		if _, past := g.past[topic]; !past {
			out = append(out, topic)
		}
	}
	if len(out) == 0 {
		return []string{g.plan.StateTopic}
	}
	return out
}

// pastTopics are the inputs that are in the archive alone, sorted.
func (g *group) pastTopics() []string {
	var out []string
	for topic := range g.past {
		out = append(out, topic)
	}
	slices.Sort(out)
	return out
}
